"""The wheel stands alone: outside the checkout it finds its accelerators and networks and estimates one."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_wheel_works_outside_the_repository(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere.mkdir()
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import energysim.cli as cli; "
        "assert 'elsewhere' not in cli.__file__; sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-P", "-c", program, str(site), "estimate", "lenet_caffe5", "--on", "eyeriss"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*command, "--format", "json"], cwd=elsewhere, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["totals"]["macs"] == 2_293_000
    every = zipfile.ZipFile(wheel).namelist()
    # the compiled search travels along, and so does its source, which runs where the compiled one does not
    assert [name for name in every if name.startswith("energysim/mapping/search_tree.") and name.endswith(".so")]
    assert "energysim/mapping/search_tree.py" in every
    names = {name for name in every if "_data" in name}
    assert {f"energysim/_data/hw_configs/{p.name}" for p in (ROOT / "hw_configs").glob("*.yaml")} <= names
    assert {f"energysim/_data/models/{p.name}" for p in (ROOT / "models").glob("*.yaml")} <= names
