"""How much energy a neural network costs on an accelerator described in YAML, and why.

model = energysim.read_model("resnet50", bits=8)
accelerator = energysim.read_accelerator("eyeriss")
print(energysim.estimate(model, accelerator).totals.energy_pj)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from energysim.costs.result import Estimate, LayerEstimate
    from energysim.errors import EnergysimError
    from energysim.estimate import estimate
    from energysim.hardware.accelerator import Accelerator
    from energysim.hardware.read import DescribedAccelerator, read_accelerator
    from energysim.mapping.constraints_yaml import read_constraints
    from energysim.mapping.search_cache import SearchCache
    from energysim.workload.graph import LayerGraph
    from energysim.workload.layer import Layer
    from energysim.workload.read import read_model

__version__ = "0.1.0"

_HOMES = {
    "Accelerator": "energysim.hardware.accelerator",
    "DescribedAccelerator": "energysim.hardware.read",
    "EnergysimError": "energysim.errors",
    "Estimate": "energysim.costs.result",
    "Layer": "energysim.workload.layer",
    "LayerEstimate": "energysim.costs.result",
    "LayerGraph": "energysim.workload.graph",
    "SearchCache": "energysim.mapping.search_cache",
    "estimate": "energysim.estimate",
    "read_accelerator": "energysim.hardware.read",
    "read_constraints": "energysim.mapping.constraints_yaml",
    "read_model": "energysim.workload.read",
}
"""Public name to the module it is imported from at its first use."""

__all__ = [
    "Accelerator",
    "DescribedAccelerator",
    "EnergysimError",
    "Estimate",
    "Layer",
    "LayerEstimate",
    "LayerGraph",
    "SearchCache",
    "__version__",
    "estimate",
    "read_accelerator",
    "read_constraints",
    "read_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'energysim' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
