"""MLPerf Tiny: which packaged network each benchmark is, and what each system needed."""

from collections.abc import Mapping
from types import MappingProxyType

from energysim.calibration.references import read_reference

NETWORKS: Mapping[str, str] = MappingProxyType(
    {"ad": "autoencoder_640", "ic": "resnet8", "kws": "ds_cnn", "vww": "mobilenet_v1_025"}
)
"""Benchmark to packaged network."""


def systems() -> dict[str, dict[str, float]]:
    """Energy in microjoules by submission ("system round", as in "EK-RA6M4 v0.7") and network: 28 of 21 systems."""
    found: dict[str, dict[str, float]] = {}
    for row in read_reference("mlperf_tiny_energy").rows:
        name = f"{row['system']} {row['round']}"
        found.setdefault(name, {})[NETWORKS[row["benchmark"]]] = float(row["energy_uj"])
    return found
