"""Layers by AccelForge and by us: `make peers`, or `python -m bench.accelforge_layers [--search|--missing] [--quick]`.

Writes reports/accelforge.json; `python -m bench.peer` renders it. AccelForge runs in its own environment; what it found
is kept with its CPU seconds, version and date, because its searches take minutes. A run prices all mappings by both
models and searches ours anew; AccelForge searches only with `--search` (every case) or `--missing` (those never done).
`--quick` leaves all but a few cases aside.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.accelforge_words import Node, forms, from_nodes, inward, specification, to_nodes
from bench.ours import SPACES, in_even_space, timed
from energysim.hardware.accelerator import Accelerator, EnergyTable, Memory
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import PARTIAL, Counts, count
from energysim.mapping.mapping_yaml import to_yaml
from energysim.mapping.nest import Loop, Mapping, Storage, problems
from energysim.mapping.search import energy_pj
from energysim.workload.layer import Layer, convolution

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "reports" / "accelforge.json"
CPU_LIMIT_S = 690.0
"""After so many CPU seconds AccelForge is stopped; the issue's own measurement stopped it at 670."""

RUNS = 3

LAYERS = {
    "3x3 M16 C8 8x8": convolution("small", m=16, c=8, p=8, q=8, r=3, s=3),
    "1x1 M128 C64 14x14": convolution("pointwise", m=128, c=64, p=14, q=14),
    "3x3 M64 C64 14x14": convolution("halo", m=64, c=64, p=14, q=14, r=3, s=3),
    "3x3 M64 C64 56x56": convolution("conv2_x", m=64, c=64, p=56, q=56, r=3, s=3),
    "3x3/2 M128 C64 28x28": convolution("conv3_1", m=128, c=64, p=28, q=28, r=3, s=3, stride=(2, 2)),
    "3x3 M256 C256 14x14": convolution("conv4_x", m=256, c=256, p=14, q=14, r=3, s=3),
    "1x1 M1024 C256 14x14": convolution("conv4_x.3", m=1024, c=256, p=14, q=14),
    "fully connected M1000 C512": convolution("fc", m=1000, c=512, p=1, q=1),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One layer on one hierarchy; `words` replaces the buffer's capacity, `min_usage` is AccelForge's alone."""

    layer: str
    hardware: str
    words: int | None = None
    min_usage: float = 0.0
    quick: bool = False

    @property
    def name(self) -> str:
        """What the case is called in the report."""
        words = f" {self.words:,} words" if self.words else ""
        return f"{self.layer} on {self.hardware}{words}" + (", array filled" if self.min_usage else "")


REFERENCES = {
    ("3x3 M16 C8 8x8", 512): 2_872_000.0,
    ("3x3 M16 C8 8x8", 8192): 2_450_112.0,
    ("1x1 M128 C64 14x14", 512): 77_643_776.0,
    ("1x1 M128 C64 14x14", 8192): 51_117_568.0,
    ("3x3 M64 C64 14x14", 512): 247_691_264.0,
}
"""Least known energy, pJ, of layers on the shared buffer of so many words, uneven marks allowed (design notes)."""

MISSED = ("3x3 M64 C64 14x14", 512)
BETTER = "M8 P2 Q2 [output] C64 [input] R3 S3 M8 [weight] P7 Q7"
"""A mapping of this reference that AccelForge's search misses: loops, and the buffer's marks in brackets."""

_RESNET = list(LAYERS)[3:]
CASES = (
    *(Case(layer, "shared_buffer", words, quick=layer == "3x3 M16 C8 8x8") for layer, words in REFERENCES),
    *(Case(layer, "nvdla_forge", min_usage=1.0, quick="1x1" in layer) for layer in _RESNET),
    *(Case(layer, "nvdla_forge") for layer in _RESNET),
    *(Case(layer, "eyeriss_forge", min_usage=1.0) for layer in reversed(_RESNET)),
    *(
        Case(layer, "eyeriss_forge")
        for layer in ("1x1 M1024 C256 14x14", "fully connected M1000 C512", "3x3 M16 C8 8x8")
    ),
)


def interpreter() -> Path:
    """AccelForge's own Python."""
    return Path(os.environ.get("ENERGYSIM_ACCELFORGE", ROOT / ".peers" / "accelforge" / "bin" / "python"))


def described(case: Case) -> tuple[Layer, Accelerator, EnergyTable]:
    """The layer, the accelerator and its prices of a case."""
    read = read_accelerator(ROOT / "bench" / "hardware" / f"{case.hardware}.yaml")
    facts = read.accelerator
    if case.words:
        levels = [
            replace(level, capacity_bits=16 * case.words)
            if isinstance(level, Memory) and level.name == "buffer"
            else level
            for level in facts.levels
        ]
        facts = replace(facts, levels=tuple(levels))
    return LAYERS[case.layer], facts, read.table


def run_accelforge(specified: str, **asked: Any) -> dict[str, Any] | None:
    """AccelForge's answer, None when it was stopped at its limit of CPU; ends the program when it fails otherwise."""
    done = subprocess.run(
        [interpreter(), ROOT / "bench" / "accelforge_layer.py"],
        input=json.dumps({"spec": specified, **asked}),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    if done.returncode < 0 and asked.get("cpu_limit_s"):
        return None
    if done.returncode:
        sys.exit(f"AccelForge failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def searched_there(case: Case) -> dict[str, Any]:
    """What AccelForge's search found, or that it was stopped, with the date."""
    date = datetime.now(UTC).date().isoformat()
    text = specification(*described(case), min_usage=case.min_usage)
    found = run_accelforge(text, search=True, cpu_limit_s=CPU_LIMIT_S)
    if found is None:
        return {"date": date, "stopped_cpu_s": CPU_LIMIT_S}
    keys = ("version", "cpu_s", "wall_s", "peak_mb", "energy_pj", "mapping")
    return {"date": date} | {key: found[key] for key in keys}


def marked(layer: Layer, text: str) -> Mapping:
    """A mapping on DRAM and one buffer from a line such as `BETTER`."""
    nest: list[Loop | Storage] = [Storage("dram", tensor.name) for tensor in layer.tensors]
    for word in text.split():
        nest.append(Storage("buffer", word[1:-1]) if word[0] == "[" else Loop(word[0], int(word[1:])))
    return Mapping(tuple(nest))


def cost(case: Case, mapping: Mapping) -> float | None:
    """Energy in pJ of a mapping by our counts, None when it is not legal."""
    layer, facts, table = described(case)
    if problems(layer, facts, mapping):
        return None
    return energy_pj(layer, facts, table, mapping, count(layer, facts, mapping))


def settled(case: Case, mapping: Mapping) -> Mapping:
    """A mapping of AccelForge's with its marks where they cost us least: as they are, or as far in as it holds them."""
    layer, facts, _ = described(case)
    lowered = inward(layer, facts, mapping)
    prices = [(price, n) for n, each in enumerate((mapping, lowered)) if (price := cost(case, each)) is not None]
    return (mapping, lowered)[min(prices)[1]] if prices else lowered


def by_action(layer: Layer, counts: Counts) -> dict[str, int]:
    """Our counts under AccelForge's names: reads and writes of each memory, whoever is at the other end."""
    names = {"read": "read", "drain": "read", "write": "write", "fill": "write"}
    found: dict[str, int] = {}
    for (component, action, tensor), n in counts.values.items():
        if action in names:
            key = f"{component} {layer.output.name if tensor == PARTIAL else tensor} {names[action]}"
            found[key] = found.get(key, 0) + n
    return found


def differing(layer: Layer, counts: Counts, actions: dict[str, float]) -> dict[str, tuple[int, float]]:
    """Reads and writes that the two models count differently: ours, theirs."""
    ours = by_action(layer, counts)
    theirs = {key: n for key, n in actions.items() if key.split()[-1] in ("read", "write")}
    pairs = {key: (ours.get(key, 0), theirs.get(key, 0.0)) for key in sorted(ours.keys() | theirs.keys())}
    return {key: (here, there) for key, (here, there) in pairs.items() if here != there}


def searched_here(case: Case, space: str) -> tuple[dict[str, Any], Mapping]:
    """Our best mapping: median CPU seconds of several searches, energy, bound; and the mapping."""
    layer, facts, table = described(case)
    ours = timed(layer, facts, table, space, RUNS)
    result = {
        "cpu_s": ours.cpu_s,
        "energy_pj": ours.found.energy_pj,
        "bound_pj": ours.found.lower_bound_pj,
        "proven": ours.found.optimal,
        "mapping": to_yaml(ours.found.mapping),
    }
    return result, ours.found.mapping


def _forms(case: Case, mapping: Mapping, energy: float) -> list[list[Node]]:
    """The mapping as AccelForge may read it, each form of the same energy by our counts."""
    layer, facts, _ = described(case)
    found: list[list[Node]] = []
    for form in forms(layer, facts, mapping):
        prices = [cost(case, each) for each in (form, inward(layer, facts, form))]
        nodes = to_nodes(layer, form)
        if any(price is not None and abs(price / energy - 1) < 1e-9 for price in prices) and nodes not in found:
            found.append(nodes)
    return found


def compared(case: Case, there: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    """Both tools' mappings by both models; `there` is what AccelForge's search found, if it ended.

    Without AccelForge its prices are those in `old`, for the mappings that are still the same.
    """
    layer, facts, _ = described(case)
    row: dict[str, Any] = {
        "accelforge": there,
        "reference_pj": REFERENCES.get((case.layer, case.words or 0)),
        "ours": {},
    }
    given: dict[str, list[list[Node]]] = {}
    if "mapping" in there:
        mapping = settled(case, from_nodes(layer, there["mapping"]))
        given["accelforge"] = [there["mapping"]]
        row |= {
            "accelforge_our_pj": cost(case, mapping),
            "refused": list(problems(layer, facts, mapping)),
            "accelforge_even": in_even_space(layer, facts, mapping),
        }
    if (case.layer, case.words) == MISSED:
        row["better_our_pj"] = cost(case, marked(layer, BETTER))
        given["better"] = _forms(case, marked(layer, BETTER), row["better_our_pj"])
    for space in SPACES:
        row["ours"][space], mapping = searched_here(case, space)
        given[space] = _forms(case, mapping, row["ours"][space]["energy_pj"])
    if interpreter().exists():
        return row | _priced_there(case, given)
    before = {space: found["mapping"] for space, found in (old or {}).get("ours", {}).items()}
    for key in ("their_pj", "different"):
        now = (old or {}).get(key, {})
        row[key] = {
            kind: value
            for kind, value in now.items()
            if kind not in row["ours"] or before.get(kind) == row["ours"][kind]["mapping"]
        }
    return row


def _priced_there(case: Case, given: dict[str, list[list[Node]]]) -> dict[str, Any]:
    """The least price AccelForge's model gives each mapping over its forms, and where the counts then differ."""
    answer = run_accelforge(
        specification(*described(case)), mappings=[nodes for each in given.values() for nodes in each]
    )
    assert answer is not None
    prices = iter(answer["priced"])
    layer, facts, _ = described(case)
    found: dict[str, Any] = {"their_pj": {}, "different": {}}
    for kind, each in given.items():
        priced = [(next(prices), nodes) for nodes in each]
        taken = [(price["energy_pj"], i) for i, (price, _) in enumerate(priced) if "energy_pj" in price]
        if not taken:
            found["their_pj"][kind] = None
            found["different"][kind] = {"refused": priced[0][0]["refused"]} if priced else {}
            continue
        energy, i = min(taken)
        mapping = settled(case, from_nodes(layer, priced[i][1]))
        found["their_pj"][kind] = energy
        if not problems(layer, facts, mapping):
            actions = priced[i][0]["actions"]
            found["different"][kind] = differing(layer, count(layer, facts, mapping), actions)
    return found


def line(name: str, row: dict[str, Any]) -> str:
    """A case in one line."""
    there = row["accelforge"]
    seconds = f"{there['cpu_s']:.1f}" if "cpu_s" in there else f">{there['stopped_cpu_s']:.0f}"
    best = min(row["ours"].values(), key=lambda found: float(found["energy_pj"]))
    energies = "" if "energy_pj" not in there else f" {there['energy_pj']:,.0f} pJ"
    return f"{name}: AccelForge {seconds} CPU s{energies}; ours {best['cpu_s']:.3f} CPU s {best['energy_pj']:,.0f} pJ"


def run(*, quick: bool = False, search: bool = False, missing: bool = False) -> dict[str, Any]:
    """Compare every case (or the quick ones), AccelForge searching all or the missing ones if asked.

    Written after each; returns the rows of this run.
    """
    known: dict[str, Any] = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    if not interpreter().exists():
        print(
            f"AccelForge skipped: none at {interpreter()}; `make peers` installs it, or set ENERGYSIM_ACCELFORGE to it"
        )
    done = {}
    for case in CASES:
        if quick and not case.quick:
            continue
        if interpreter().exists() and (search or (missing and case.name not in known)):
            there = searched_there(case)
        elif case.name in known:
            there = known[case.name]["accelforge"]
        else:
            print(f"{case.name}: skipped, never searched by AccelForge (`--missing` does it)")
            continue
        known[case.name] = done[case.name] = compared(case, there, known.get(case.name))
        print(line(case.name, known[case.name]), flush=True)
        TARGET.write_text(json.dumps(known, indent=1) + "\n")
    return done


if __name__ == "__main__":
    run(quick="--quick" in sys.argv, search="--search" in sys.argv, missing="--missing" in sys.argv)
