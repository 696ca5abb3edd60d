"""An estimate as the text of a file, and the files from which it can be computed again."""

import json
from pathlib import Path

from energysim.costs.result import Estimate
from energysim.hardware.read import DescribedAccelerator, to_yaml
from energysim.mapping.constraints_yaml import yaml_text
from energysim.report.show import plain
from energysim.report.tables import estimate_parts
from energysim.report.text import clean_lines
from energysim.workload.graph import LayerGraph
from energysim.workload.yaml_format import to_yaml as graph_to_yaml

SUFFIXES = {".json": "json", ".csv": "csv"}


def rendered(result: Estimate, form: str) -> str:
    """An estimate as "json", "csv" or "table" text, names in it cleaned of unseen characters."""
    if form == "json":
        return result.to_json()
    if form == "csv":
        return clean_lines(result.to_csv())
    return plain(estimate_parts(result))


def run_again(
    output: str | Path,
    result: Estimate,
    graph: LayerGraph,
    accelerator: DescribedAccelerator,
    form: str | None,
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
    stamp = {
        "options": dict(result.options),
        "run_again": again,
        "model_sha256": result.model_sha256,
        "accelerator_sha256": result.accelerator_sha256,
        "version": result.version,
    }
    return {
        path: rendered(result, form or SUFFIXES.get(path.suffix.lower(), "table")),
        beside["model.yaml"]: graph_to_yaml(graph),
        beside["accelerator.yaml"]: to_yaml(accelerator),
        **files,
        beside["options.json"]: json.dumps(stamp, sort_keys=True, indent=2) + "\n",
    }
