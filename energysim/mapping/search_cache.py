"""Search results on disk: one JSON file for each search, named by a hash of everything that its answer depends on.

An entry is a mapping and a bound, nothing more: on reading, the mapping must be legal and of the dataflow, and its
counts and energy are worked out again. What is not sound is ignored, with one warning, and replaced.
"""

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Map
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from energysim.costs.latency import latency
from energysim.errors import EnergysimError, OutputError
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.constraints import Constraints, violations
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.mapping.search import Limits, SearchResult, energy_pj, is_optimal
from energysim.workload.graph import same_work
from energysim.workload.layer import DIMS, Layer

FORMAT = 2
"""Number of the layout of entries; part of every key."""

LARGEST_BYTES = 1 << 18
"""A larger file is no entry of ours: a nest has tens of items."""

UNSOUND = (OSError, EnergysimError, LookupError, AttributeError, TypeError, ValueError, ArithmeticError, RecursionError)
"""What reading something that is no entry of ours can raise."""

NAME = re.compile(r"[0-9a-f]{64}\.json|\.energysim-[^/]*\.part")
"""Names of our files, whole or left half written by a crash: `clear` removes no others."""


def cache_folder() -> Path:
    """ENERGYSIM_CACHE_DIR; else `energysim` in the user's cache folder, which XDG_CACHE_HOME or the platform names.

    Raises OutputError when the user has no home.
    """
    if own := os.environ.get("ENERGYSIM_CACHE_DIR"):
        return Path(own)
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given) / "energysim"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "energysim" / "Cache"
    try:
        return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "energysim"
    except RuntimeError as error:
        raise OutputError("cache: no home folder; set ENERGYSIM_CACHE_DIR") from error


def search_key(
    layer: Layer,
    accelerator: Accelerator,
    table: EnergyTable,
    constraints: Constraints,
    objective: str,
    limits: Limits,
    uneven: bool = False,
) -> str:
    """Hash (64 hex digits) of everything a search's answer depends on: the names of layers are not part of it."""
    work = (code_version(), same_work(layer), accelerator, table, constraints, objective, limits, uneven)
    return sha256(json.dumps(_plain(work)).encode()).hexdigest()


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of our code that searches, counts and prices, with the versions of numpy and of the entries' layout."""
    package = Path(__file__).resolve().parent.parent
    files = [*(package / "mapping").glob("*.py"), *(package / "costs").glob("*.py")]
    files += [package / "workload" / "layer.py", package / "workload" / "encoding.py"]
    files.append(package / "hardware" / "accelerator.py")
    digest = sha256(f"{FORMAT} {np.__version__}".encode())
    for file in sorted(files):
        text = file.read_bytes()
        digest.update(f"\n{file.name} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


class SearchCache:
    """Search results in a folder (default: `cache_folder()`), shared with other processes.

    `warn` is called at most once for entries that are not sound and once for a folder that cannot be written, with one
    line (default: a RuntimeWarning). Nothing else that goes wrong with the cache stops or changes an answer.
    """

    def __init__(self, folder: str | Path | None = None, warn: Callable[[str], None] | None = None) -> None:
        """Name the folder; it is made at the first write."""
        self.folder = cache_folder() if folder is None else Path(folder)
        self._warn = warn or _warn
        self._warned: set[str] = set()

    def read(
        self,
        key: str,
        layer: Layer,
        accelerator: Accelerator,
        table: EnergyTable,
        constraints: Constraints,
        objective: str = "energy",
        uneven: bool = False,
    ) -> SearchResult | None:
        """The result stored under a key, with counts and energy worked out again; None when there is no sound one.

        A least energy counts as proven only where its bound says so.
        """
        began = perf_counter()
        path = self.folder / f"{key}.json"
        try:
            if not path.is_file():
                return None
            mapping, bound, candidates, nodes, optimal = _parsed(path, key, layer)
            counts = count(layer, accelerator, mapping)
            energy = energy_pj(layer, accelerator, table, mapping, counts)
            if broken := violations(constraints, layer, accelerator, mapping, uneven=uneven):
                raise ValueError(broken[0])
            if not 0.0 <= bound <= energy:
                raise ValueError("its bound lies above its energy")
            optimal = optimal and (objective != "energy" or is_optimal(energy, bound))
        except UNSOUND as error:
            self._say("entry", f"cache: {path} is damaged or foreign, it is ignored and made anew: {_reason(error)}")
            return None
        seconds = perf_counter() - began
        cycles = latency(layer, accelerator, mapping, counts).cycles
        return SearchResult(mapping, counts, energy, bound, optimal, candidates, nodes, seconds, False, cycles)

    def write(self, key: str, found: SearchResult) -> None:
        """Store a result: the entry appears whole or not at all, whoever else writes it."""
        from uuid import uuid4

        nest = [
            [item.memory, item.tensor] if isinstance(item, Storage) else [item.dim, item.bound, item.axis]
            for item in found.mapping.nest
        ]
        body = {
            "key": key,
            "nest": nest,
            "lower_bound_pj": float(found.lower_bound_pj),
            "candidates": int(found.candidates),
            "nodes": int(found.nodes),
            "optimal": bool(found.optimal),
        }
        # named before it is there, so that Ctrl-C leaves no part behind
        part = self.folder / f".energysim-{uuid4().hex}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(part, "x", encoding="ascii", opener=_private) as file:
                json.dump({**body, "sha256": _checksum(body)}, file)
            os.replace(part, self.folder / f"{key}.json")
        except (OSError, ValueError) as error:
            self._say("folder", f"cache: {self.folder} cannot be written, results are not kept: {_reason(error)}")
        finally:
            with suppress(OSError, ValueError):
                part.unlink(missing_ok=True)

    def size(self) -> tuple[int, int]:
        """Entries, and bytes of all our files; raises OutputError when the folder cannot be read."""
        files = list(self._files())
        return sum(path.suffix == ".json" for path, _ in files), sum(size for _, size in files)

    def clear(self) -> tuple[int, int]:
        """Remove all our files and no others; how many and their bytes. Raises OutputError when one cannot be."""
        removed = 0, 0
        for path, size in self._files():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"cache: {path} cannot be removed: {_reason(error)}") from error
            removed = removed[0] + 1, removed[1] + size
        return removed

    def _files(self) -> Iterator[tuple[Path, int]]:
        try:
            for path in sorted(self.folder.iterdir()) if self.folder.exists() else ():
                with suppress(FileNotFoundError):
                    if NAME.fullmatch(path.name) and path.is_file():
                        yield path, path.stat().st_size
        except (OSError, ValueError) as error:
            raise OutputError(f"cache: {self.folder} cannot be read: {_reason(error)}") from error

    def _say(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(" ".join(message.split()))


def _parsed(path: Path, key: str, layer: Layer) -> tuple[Mapping, float, int, int, bool]:
    """Mapping, bound, candidates, nodes and whether it is proven of an entry; raises ValueError on anything else."""
    if path.stat().st_size > LARGEST_BYTES:
        raise ValueError("it is too large")
    body = json.loads(path.read_text("ascii"))
    if body.pop("sha256") != _checksum(body) or body["key"] != key:
        raise ValueError("its checksum is wrong")
    bound, candidates, nodes, optimal = (body[name] for name in ("lower_bound_pj", "candidates", "nodes", "optimal"))
    if (
        type(bound) is not float
        or type(optimal) is not bool
        or any(type(n) is not int or n < 0 for n in (candidates, nodes))
    ):
        raise ValueError("a number of it is none")
    return Mapping(tuple(_item(values, layer) for values in body["nest"])), bound, candidates, nodes, optimal


def _item(values: list[Any], layer: Layer) -> Loop | Storage:
    """One item of a nest, by its length."""
    if len(values) == 2:
        memory, tensor = values
        if type(memory) is str and tensor in [each.name for each in layer.tensors]:
            return Storage(memory, tensor)
    dim, bound, axis = values
    if dim not in DIMS or type(bound) is not int or not (axis is None or type(axis) is str):
        raise ValueError(f"its nest has an item that is no loop of layer '{layer.name}'")
    return Loop(dim, bound, axis)


def _private(path: str, flags: int) -> int:
    """Opens a file that only its owner reads."""
    return os.open(path, flags, 0o600)


def _checksum(body: Map[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A noun as lists, so that equal nouns give equal JSON: every field compared counts, sets are sorted."""
    if is_dataclass(value):
        return [type(value).__name__, *(_plain(getattr(value, each.name)) for each in fields(value) if each.compare)]
    if isinstance(value, Map):
        return [[_plain(key), _plain(inner)] for key, inner in value.items()]
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return (isinstance(error, OSError) and error.strerror) or str(error)
