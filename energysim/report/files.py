"""An estimate as the text of a file, and the files from which it can be computed again."""

import csv
import io
import json
from pathlib import Path

from energysim.calibration.apply import CalibratedEstimate
from energysim.calibration.file import to_text
from energysim.costs.result import Estimate
from energysim.hardware.read import DescribedAccelerator, to_yaml
from energysim.mapping.constraints_yaml import yaml_text
from energysim.report.calibrated import calibrated_parts
from energysim.report.show import plain
from energysim.report.tables import estimate_parts
from energysim.report.text import clean_lines
from energysim.workload.graph import LayerGraph
from energysim.workload.yaml_format import to_yaml as graph_to_yaml

SUFFIXES = {".json": "json", ".csv": "csv"}


def rendered(result: Estimate, form: str, calibrated: CalibratedEstimate | None = None) -> str:
    """An estimate as "json", "csv" or "table" text, names in it cleaned of unseen characters.

    `calibrated` adds a key to JSON, columns to CSV and a table to text.
    """
    if form == "json":
        text = result.to_json()
        if calibrated is None:
            return text
        plainly = json.loads(text) | {"calibrated": calibrated.to_plain()}
        return json.dumps(plainly, sort_keys=True, indent=2, allow_nan=False) + "\n"
    if form == "csv":
        return clean_lines(_csv(result, calibrated))
    return plain(estimate_parts(result)) + ("" if calibrated is None else "\n" + plain(calibrated_parts(calibrated)))


def _csv(result: Estimate, calibrated: CalibratedEstimate | None) -> str:
    if calibrated is None:
        return result.to_csv()
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    more = ("energy_pj", "low_pj", "high_pj", "uncalibrated_pj", "time_s")
    for row, layer in zip(rows, calibrated.layers, strict=True):
        row |= {f"calibrated.{name}": str(getattr(layer, name)) for name in more}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def run_again(
    output: str | Path,
    result: Estimate,
    graph: LayerGraph,
    accelerator: DescribedAccelerator,
    form: str | None,
    calibrated: CalibratedEstimate | None = None,
    compressed: str | None = None,
) -> dict[Path, str]:
    """Texts by file: the answer, and beside it the resolved model, accelerator and options to compute it again.

    Which sample of a shared weight is which stays in the `compressed` file, which is named.
    """
    path = Path(output)
    beside = {
        kind: path.with_name(f"{path.stem}.{kind}") for kind in ("model.yaml", "accelerator.yaml", "options.json")
    }
    again = ["energysim", "estimate", beside["model.yaml"].name, "--on", beside["accelerator.yaml"].name]
    again += ["--dataflow", str(result.options["dataflow"])]
    if compressed is not None:
        again += ["--compressed", str(Path(compressed).resolve())]
    files = {}
    if result.options.get("constraints"):
        beside["constraints.yaml"] = path.with_name(f"{path.stem}.constraints.yaml")
        files[beside["constraints.yaml"]] = yaml_text(result.options["constraints"])
        again += ["--constraints", beside["constraints.yaml"].name]
    if result.options.get("time_budget_s") is not None:
        again += ["--time-budget", str(result.options["time_budget_s"])]
    again += ["--uneven"] * bool(result.options.get("uneven"))
    if calibrated is not None:
        beside["calibration.yaml"] = path.with_name(f"{path.stem}.calibration.yaml")
        files[beside["calibration.yaml"]] = to_text(calibrated.calibration)
        again += ["--calibration", beside["calibration.yaml"].name]
    stamp = {
        "options": dict(result.options),
        "run_again": again,
        "model_sha256": result.model_sha256,
        "accelerator_sha256": result.accelerator_sha256,
        "version": result.version,
    }
    return {
        path: rendered(result, form or SUFFIXES.get(path.suffix.lower(), "table"), calibrated),
        beside["model.yaml"]: graph_to_yaml(graph),
        beside["accelerator.yaml"]: to_yaml(accelerator),
        **files,
        beside["options.json"]: json.dumps(stamp, sort_keys=True, indent=2) + "\n",
    }
