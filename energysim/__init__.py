"""How much energy a neural network costs on an accelerator described in YAML, and why.

model = energysim.read_model("resnet50", bits=8)
accelerator = energysim.read_accelerator("eyeriss")
print(energysim.estimate(model, accelerator).totals.energy_pj)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from energysim.calibration.calibration import Calibration
    from energysim.calibration.file import read_calibration
    from energysim.calibration.fit import calibrate
    from energysim.calibration.measurements import read_measurements
    from energysim.clustering.prepare import finalize, prepare, regulariser_of
    from energysim.clustering.recipe_read import read_recipe
    from energysim.clustering.share import share
    from energysim.compressed.file import read_compressed, write_compressed
    from energysim.compressed.model import CompressedModel
    from energysim.compressed.size import size_report
    from energysim.costs.metrics import Metrics, metrics
    from energysim.costs.result import Estimate, LayerEstimate
    from energysim.errors import EnergysimError
    from energysim.estimate import estimate
    from energysim.explore.compare import compare
    from energysim.explore.sweep import sweep
    from energysim.hardware.accelerator import Accelerator
    from energysim.hardware.read import DescribedAccelerator, read_accelerator
    from energysim.mapping.constraints_yaml import read_constraints
    from energysim.mapping.search_cache import SearchCache
    from energysim.workload.graph import LayerGraph
    from energysim.workload.layer import Layer
    from energysim.workload.planned import planned_sharing
    from energysim.workload.read import read_model

__version__ = "0.1.0"

_HOMES = {
    "Accelerator": "energysim.hardware.accelerator",
    "Calibration": "energysim.calibration.calibration",
    "CompressedModel": "energysim.compressed.model",
    "DescribedAccelerator": "energysim.hardware.read",
    "EnergysimError": "energysim.errors",
    "Estimate": "energysim.costs.result",
    "Layer": "energysim.workload.layer",
    "LayerEstimate": "energysim.costs.result",
    "LayerGraph": "energysim.workload.graph",
    "Metrics": "energysim.costs.metrics",
    "SearchCache": "energysim.mapping.search_cache",
    "compare": "energysim.explore.compare",
    "calibrate": "energysim.calibration.fit",
    "estimate": "energysim.estimate",
    "finalize": "energysim.clustering.prepare",
    "metrics": "energysim.costs.metrics",
    "planned_sharing": "energysim.workload.planned",
    "prepare": "energysim.clustering.prepare",
    "read_accelerator": "energysim.hardware.read",
    "read_calibration": "energysim.calibration.file",
    "read_measurements": "energysim.calibration.measurements",
    "read_constraints": "energysim.mapping.constraints_yaml",
    "read_compressed": "energysim.compressed.file",
    "read_model": "energysim.workload.read",
    "read_recipe": "energysim.clustering.recipe_read",
    "regulariser_of": "energysim.clustering.prepare",
    "share": "energysim.clustering.share",
    "size_report": "energysim.compressed.size",
    "sweep": "energysim.explore.sweep",
    "write_compressed": "energysim.compressed.file",
}
"""Public name to the module it is imported from at its first use."""

__all__ = [
    "Accelerator",
    "Calibration",
    "CompressedModel",
    "DescribedAccelerator",
    "EnergysimError",
    "Estimate",
    "Layer",
    "LayerEstimate",
    "LayerGraph",
    "Metrics",
    "SearchCache",
    "__version__",
    "calibrate",
    "compare",
    "estimate",
    "finalize",
    "metrics",
    "planned_sharing",
    "prepare",
    "read_accelerator",
    "read_calibration",
    "read_compressed",
    "read_constraints",
    "read_measurements",
    "read_model",
    "read_recipe",
    "regulariser_of",
    "share",
    "size_report",
    "sweep",
    "write_compressed",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'energysim' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
