"""The main job: layers are placed on an accelerator, what happens is counted, and counts are priced."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from math import gcd
from pathlib import Path
from types import ModuleType

from energysim import __version__
from energysim.costs.full_adders import full_adders_of_counts
from energysim.costs.latency import latency, static_energy_pj, utilisation
from energysim.costs.least import least_energy_pj
from energysim.costs.ledger import Entry, components, counts_by_component, energy_by_component, ledger
from energysim.costs.prices import active_share, stored_bits
from energysim.costs.result import IDLE, STATIC, Estimate, LayerEstimate, UsedPrice
from energysim.costs.traffic import compulsory_bits, traffic
from energysim.errors import InputError, unknown
from energysim.hardware.accelerator import EnergyTable
from energysim.hardware.read import DescribedAccelerator
from energysim.mapping.constraints import Restriction
from energysim.mapping.constraints_yaml import plain
from energysim.mapping.dataflows import dataflow as named
from energysim.mapping.distinct import why_no_products
from energysim.mapping.search import SearchResult
from energysim.mapping.search_cache import SearchCache
from energysim.mapping.search_many import find_mappings
from energysim.mapping.sharing import as_run
from energysim.workload.coverage import coverage
from energysim.workload.graph import LayerGraph, same_work
from energysim.workload.layer import Layer
from energysim.workload.precision import kind
from energysim.workload.read import read_model
from energysim.workload.yaml_format import to_yaml

ROUNDING = 1e-9
"""Relative difference below which an energy and its lower bound are one number."""

Progress = Callable[[int, int], None]
"""Called with the number of layers done and of all layers."""


def estimate(
    model: LayerGraph,
    accelerator: DescribedAccelerator,
    *,
    dataflow: str = "unconstrained",
    constraints: Sequence[Restriction] = (),
    batch: int = 1,
    bits: int | str | Path | None = None,
    objective: str = "energy",
    time_budget_s: float | None = None,
    progress: Progress | None = None,
    cache: SearchCache | None = None,
    jobs: int = 1,
    uneven: bool = False,
) -> Estimate:
    """What `model` costs on `accelerator`, layer by layer, each under the best mapping found (equal layers once).

    `batch` and `bits` change the model as in `read_model`; `dataflow` and `constraints` (see `read_constraints`)
    restrict the mappings, `uneven` lets the tensors of one memory lie at different depths. `cache` keeps search results
    on disk (default: no file is read or written), `jobs` is the most processes that search (more than one: call from
    under a main guard); the answer depends on neither.
    `time_budget_s` (seconds) is for all searches together. Raises InputError for what is not known and
    NothingFitsError for a layer that no mapping fits on the accelerator.
    """
    graph = read_model(model, batch=batch, bits=bits)
    warnings = warnings_of(graph, accelerator)
    graph = graph.with_layers({layer.name: as_run(layer, accelerator.accelerator) for layer in graph.layers})
    asked = named(dataflow, constraints).restrictions
    options = {
        "batch": batch,
        "bits": None if bits is None else str(bits),
        "dataflow": dataflow,
        "constraints": plain(asked) or None,
        "objective": objective,
        "time_budget_s": time_budget_s,
        "uneven": uneven,
    }
    known: dict[object, tuple[LayerEstimate, tuple[Entry, ...]]] = {}
    layers = []
    first = {same_work(layer): layer for layer in reversed(graph.layers)}
    unequal = [layer for layer in graph.layers if first[same_work(layer)] is layer]
    described = accelerator.accelerator, accelerator.table
    searched = find_mappings(
        unequal,
        *described,
        dataflow=dataflow,
        constraints=constraints,
        objective=objective,
        time_budget_s=time_budget_s,
        cache=cache,
        jobs=jobs,
        uneven=uneven,
    )
    with closing(searched):
        for done, layer in enumerate(graph.layers):
            if progress:
                progress(done, len(graph.layers))
            work = same_work(layer)
            if work not in known:
                known[work] = estimate_layer(layer, accelerator, next(searched))
            layers.append(replace(known[work][0], name=layer.name, op=layer.op))
    prices = used_prices(accelerator.table, (entry for _, entries in known.values() for entry in entries))
    return Estimate(
        model=graph.name,
        accelerator=accelerator.name,
        batch=gcd(*(layer.dims["N"] for layer in graph.layers)),
        layers=tuple(layers),
        components=components(accelerator.accelerator),
        prices=prices,
        warnings=(*warnings, *_defaults(prices)),
        options=options,
        model_sha256=sha256(to_yaml(graph).encode()).hexdigest(),
        accelerator_sha256=accelerator.sha256,
        version=__version__,
        coverage=coverage(graph),
    )


def explain(
    model: LayerGraph,
    layer: str,
    accelerator: DescribedAccelerator,
    *,
    dataflow: str = "unconstrained",
    constraints: Sequence[Restriction] = (),
    batch: int = 1,
    bits: int | str | Path | None = None,
    objective: str = "energy",
    time_budget_s: float | None = None,
    cache: SearchCache | None = None,
    uneven: bool = False,
) -> tuple[Layer, LayerEstimate, tuple[Entry, ...]]:
    """One layer of `estimate` with the ledger that its energy is the sum of; raises UnknownNameError for its name."""
    work, found = search_layer(
        model,
        layer,
        accelerator,
        dataflow=dataflow,
        constraints=constraints,
        batch=batch,
        bits=bits,
        objective=objective,
        time_budget_s=time_budget_s,
        cache=cache,
        uneven=uneven,
    )
    return work, *estimate_layer(work, accelerator, found)


def search_layer(
    model: LayerGraph,
    layer: str,
    accelerator: DescribedAccelerator,
    *,
    dataflow: str = "unconstrained",
    constraints: Sequence[Restriction] = (),
    batch: int = 1,
    bits: int | str | Path | None = None,
    objective: str = "energy",
    time_budget_s: float | None = None,
    cache: SearchCache | None = None,
    uneven: bool = False,
) -> tuple[Layer, SearchResult]:
    """The layer of a model with this name and the best mapping found for it; raises UnknownNameError for its name."""
    work = as_run(named_layer(read_model(model, batch=batch, bits=bits), layer), accelerator.accelerator)
    described = accelerator.accelerator, accelerator.table
    (found,) = find_mappings(
        [work],
        *described,
        dataflow=dataflow,
        constraints=constraints,
        objective=objective,
        time_budget_s=time_budget_s,
        cache=cache,
        uneven=uneven,
    )
    return work, found


def named_layer(graph: LayerGraph, layer: str) -> Layer:
    """The layer of a graph with this name; raises UnknownNameError."""
    layers = {each.name: each for each in graph.layers}
    if layer not in layers:
        raise unknown(f"layer of {graph.name}", layer, layers)
    return layers[layer]


def estimate_layer(
    layer: Layer, accelerator: DescribedAccelerator, found: SearchResult
) -> tuple[LayerEstimate, tuple[Entry, ...]]:
    """A layer's energy, time and counts under a mapping, and the ledger they are sums of."""
    facts, table = accelerator.accelerator, accelerator.table
    entries = ledger(layer, facts, table, found.mapping, found.counts)
    time = latency(layer, facts, found.mapping, found.counts)
    energy = energy_by_component(entries)
    if table.idle_power_w:
        energy[IDLE] = {STATIC: static_energy_pj(table, time.seconds)}
    row = LayerEstimate(
        name=layer.name,
        op=layer.op,
        dims=dict(layer.dims),
        macs=layer.macs,
        ops=layer.ops,
        full_adders=full_adders_of_counts(layer, facts, found.counts),
        weight_bits=sum(stored_bits(t, layer) for t in layer.tensors if kind(t) == "weight"),
        compulsory_bits=compulsory_bits(layer, facts),
        traffic_bits={
            name: {"read": moved.read_bits, "write": moved.written_bits}
            for name, moved in traffic(layer, facts, found.counts).items()
        },
        latency_cycles=time.cycles,
        latency_s=time.seconds,
        cycles_by_component=time.cycles_by_component,
        bound_by=time.bound_by,
        utilisation=utilisation(layer, facts, found.counts),
        active_share=active_share(layer, facts),
        optimal=found.optimal,
        lower_bound_pj=found.lower_bound_pj,
        energy_by_component_pj=energy,
        counts=counts_by_component(entries),
        mapping=found.mapping,
    )
    # the search adds in another order; the fastest mapping may be proven and still not be that of the least energy
    bound = max(found.lower_bound_pj, least_energy_pj(layer, facts, table))
    least = bound >= row.energy_pj * (1.0 - ROUNDING)
    bound = row.energy_pj if least else _stable(bound)
    return replace(row, optimal=least or found.optimal, lower_bound_pj=bound), entries


def _stable(bound_pj: float) -> float:
    """A bound a little lower, in nine digits: the last ones depend on how numpy adds, and answers must not."""
    return float(f"{bound_pj * (1.0 - ROUNDING):.9g}")


def used_prices(table: EnergyTable, entries: Iterable[Entry]) -> tuple[UsedPrice, ...]:
    """Every price that the entries paid, and the idle power as the price of a second, sorted."""
    paid = {}
    for entry in entries:
        for action, price in ((entry.priced_as, entry.price), ("gated", entry.gated)):
            if price is not None:
                paid[entry.component, action, entry.role] = price
    used = [UsedPrice(*key, p.pj, p.width_bits, p.tier, p.source, p.per_full_adder) for key, p in sorted(paid.items())]
    idle = table.idle_power_w * 1e12, None, table.idle_power_tier, table.idle_power_source
    return (*used, UsedPrice(IDLE, "second", STATIC, *idle))


def refuse_defaults(result: Estimate) -> None:
    """Raise InputError, a line for each price, when an estimate paid default prices."""
    if result.default_prices:
        lines = (line.replace("default price:", "default price refused:") for line in _defaults(result.default_prices))
        raise InputError("\n".join(lines))


def _defaults(prices: Iterable[UsedPrice]) -> tuple[str, ...]:
    """One line for each thing that default prices were taken from."""
    found: dict[str, dict[str, None]] = {}
    for price in prices:
        if price.tier == "default":
            found.setdefault(price.source, {})[f"{price.component}.{price.action}"] = None
    return tuple(f"default price: {', '.join(paid)} ({source or 'no source'})" for source, paid in found.items())


def warnings_of(graph: LayerGraph, accelerator: DescribedAccelerator) -> tuple[str, ...]:
    """What is to be known of a model on an accelerator before anything is mapped: a line each."""
    return (*graph.warnings, *_wide_operands(graph, accelerator), *_sharing_warnings(graph, accelerator))


def _sharing_warnings(graph: LayerGraph, accelerator: DescribedAccelerator) -> tuple[str, ...]:
    """What one may not expect of shared weights: that they come expanded, or are looked up, not multiplied once."""
    facts = accelerator.accelerator
    layers = [layer for layer in graph.layers if any(t.codebook is not None for t in layer.tensors)]
    reasons: dict[str, list[str]] = {}
    for layer in layers:
        if facts.sharing is None:
            reasons.setdefault(f"shared weights come expanded, {facts.name} has no codebook", []).append(layer.name)
        elif facts.sharing.style == "product" and (why := why_no_products(layer)):
            reasons.setdefault(f"weights are looked up, products are not shared: {why}", []).append(layer.name)
    return tuple(f"{_names(names)}: {why}" for why, names in reasons.items())


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more layers" if len(names) > 1 else ""
    return f"'{names[0]}'{more}"


def _wide_operands(graph: LayerGraph, accelerator: DescribedAccelerator) -> tuple[str, ...]:
    """Operands that the compute unit does not take in one piece are counted as if it did: say so."""
    unit = accelerator.accelerator.compute
    if unit.bits is None:
        return ()
    wide = [y.name for y in graph.layers if any(t.bits > unit.bits for t in y.tensors if t.role != "output")]
    if not wide:
        return ()
    return (
        f"{_names(wide)}: operands are wider than the {unit.bits} bits that '{unit.name}' takes; "
        "each is priced as one operation",
    )


class _CallableModule(ModuleType):
    """Importing this module puts it in the place of `energysim.estimate`, the function: both can be called."""

    __call__ = staticmethod(estimate)


sys.modules[__name__].__class__ = _CallableModule
