"""Comparisons as pictures: PNG, SVG, or HTML that needs nothing beside it. matplotlib is imported when one is drawn."""

import html
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from energysim.costs.result import IDLE, LayerEstimate
from energysim.errors import InputError, unknown
from energysim.explore.compare import Comparison, Point
from energysim.hardware.accelerator import Accelerator
from energysim.report.text import clean, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".html")
COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c", "#ccb974", "#64b5cd")
MOST_PANELS = 12
"""Panels of one picture, beyond which nothing in it could be read."""

_NAMED = 0.05
"""Share of a network's time from which a layer is named."""

STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "svg.hashsalt": "energysim",
    "svg.fonttype": "path",
    "font.size": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def check_picture(path: str | Path, kind: str) -> None:
    """Raise InputError, before any work, for a picture that could not be drawn or written."""
    if kind not in PICTURES:
        raise unknown("picture", kind, PICTURES)
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"{clean(str(path))}: pictures end in {', '.join(SUFFIXES)}")
    try:
        import matplotlib as _  # noqa: F401
    except ImportError:
        raise InputError("pictures need matplotlib: pip install 'energysim[report]'") from None


def picture(found: Comparison, path: str | Path, kind: str = "components", table: str = "") -> bytes:
    """The picture of a kind as the bytes of a file whose suffix says its format; `table` is text under it in HTML.

    Equal comparisons give equal bytes. Raises UnknownNameError for a kind that is none, InputError for a suffix and
    for too much to show.
    """
    check_picture(path, kind)
    import matplotlib as mpl

    suffix = Path(path).suffix.lower()
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Names may have characters that no font at hand has: boxes are shown.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        drawn = PICTURES[kind](found)
        data = io.BytesIO()
        if suffix == ".png":
            drawn.savefig(data, format="png", dpi=150, metadata={"Software": None})
        else:
            drawn.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
    return data.getvalue() if suffix != ".html" else _page(found, data.getvalue().decode(), table).encode()


def _page(found: Comparison, svg: str, table: str) -> str:
    title = f"energysim: {', '.join(dict.fromkeys(clean(point.model) for point in found.points))}"
    body = svg[svg.index("<svg") :]
    under = f"<pre>{html.escape(table)}</pre>\n" if table else ""
    head = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
    style = "<style>body{font-family:sans-serif;margin:2em}svg{max-width:100%;height:auto}pre{font-size:80%}</style>"
    return f"{head}{style}</head><body>\n{body}\n{under}</body></html>\n"


def components(found: Comparison) -> "Figure":
    """A bar for each point, in the order asked for: its energy stacked by component, the total at its end."""
    figure, (axes,) = _figure(1, 0.9 + 0.32 * len(found.points))
    names = _components(found.points)
    largest = max(point.energy_pj for point in found.points)
    scale, prefix = scale_of(largest * 1e-12, "J")
    for row, point in enumerate(found.points):
        left = 0.0
        for name, pj in point.energy_by_component_pj.items():
            width = pj * 1e-12 / scale
            axes.barh(row, width, left=left, color=_colour(names, name), height=0.7)
            left += width
        ratio = f"  {point.energy_pj / found.first.energy_pj:.2f} x" if found.first.energy_pj and row else ""
        axes.text(left, row, f" {left:.3g} {prefix}J{ratio}", va="center")
    axes.set_yticks(range(len(found.points)), [clean(found.label(point)) for point in found.points])
    axes.invert_yaxis()
    axes.set_xlim(0, largest * 1e-12 / scale * 1.2 or 1.0)
    axes.set_xlabel(f"energy, {prefix}J")
    _legend(figure, names)
    return figure


def layers(found: Comparison) -> "Figure":
    """A panel for each point, on one scale: the energy of each layer stacked by component."""
    count = max(len(point.estimate.layers) for point in found.points)
    figure, panels = _figure(len(found.points), 1.7 * len(found.points) + 1.2, width=max(8.0, 2.0 + 0.14 * count))
    names = _components(found.points)
    largest = max(row.energy_pj for point in found.points for row in point.estimate.layers)
    scale, prefix = scale_of(largest * 1e-12, "J")
    labels: tuple[str, ...] = ()
    for axes, point in zip(panels, found.points, strict=True):
        rows = point.estimate.layers
        bottom = [0.0] * len(rows)
        for name in names:
            heights = [sum(row.energy_by_component_pj.get(name, {}).values()) * 1e-12 / scale for row in rows]
            axes.bar(range(len(rows)), heights, bottom=bottom, color=_colour(names, name), width=0.8)
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
        axes.set_title(clean(found.label(point)), loc="left", fontsize=8)
        axes.set_ylim(0, largest * 1e-12 / scale * 1.05 or 1.0)
        axes.set_xlim(-0.6, len(rows) - 0.4)
        axes.set_ylabel(f"{prefix}J")
        told = tuple(clean(row.name) for row in rows)
        # the same layers in the next panel: their names stand under the last one
        if labels == told:
            panels[panels.index(axes) - 1].set_xticklabels([])
        axes.set_xticks(range(len(rows)), [name[-24:] for name in told], rotation=90, fontsize=5)
        labels = told
    _legend(figure, names)
    return figure


def roofline(found: Comparison) -> "Figure":
    """A panel for each point: operations per second of each layer against operations per bit of the outermost memory.

    Lines: what the compute units and the outermost memory's ports allow; colour: what sets the layer's pace. Layers
    that take a twentieth of the time or more are named.
    """
    from matplotlib.ticker import EngFormatter

    figure, panels = _figure(len(found.points), 2.4 * len(found.points) + 0.6, same_axes=True)
    bounds = tuple(dict.fromkeys(row.bound_by for point in found.points for row in point.estimate.layers))
    for axes, point in zip(panels, found.points, strict=True):
        rows = [row for row in point.estimate.layers if row.latency_s and _moved_bits(row, point)]
        spots = [((y.macs + y.ops) / _moved_bits(y, point), (y.macs + y.ops) / y.latency_s) for y in rows]
        for (intensity, rate), row in zip(spots, rows, strict=True):
            axes.scatter(intensity, rate, s=16, color=_colour(bounds, row.bound_by), zorder=2, linewidths=0)
        for (intensity, rate), names in _names_at(spots, rows, _NAMED * point.latency_s).items():
            axes.annotate(f" {', '.join(names)}", (intensity, rate), va="top", fontsize=6)
        _roofs(axes, point.accelerator_facts, [intensity for intensity, _ in spots] or [1.0])
        axes.set(xscale="log", yscale="log", ylabel="operations a second")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter(EngFormatter())
        axes.set_title(clean(found.label(point)), loc="left", fontsize=8)
    outermost = dict.fromkeys(clean(point.estimate.components[0]) for point in found.points)
    panels[-1].set_xlabel(f"operations per bit moved at {', '.join(outermost)}")
    _legend(figure, bounds)
    return figure


def rate(found: Comparison) -> "Figure":
    """Energy against the cluster rate, a line for each model, bits and accelerator; dashed: without sharing.

    Raises InputError where no point has shared weights.
    """
    series: dict[str, list[Point]] = {}
    for point in found.points:
        names = (point.model, point.bits, point.accelerator)
        varied = zip(names, zip(*((p.model, p.bits, p.accelerator) for p in found.points), strict=True), strict=True)
        label = ", ".join(clean(name) for name, every in varied if len(set(every)) > 1) or clean(point.model)
        series.setdefault(label, []).append(point)
    if not any(point.cluster_rate for point in found.points):
        raise InputError(
            "no point has shared weights: give --compression, as in --compression dense rate=0.1 rate=0.01"
        )
    figure, (axes,) = _figure(1, 3.6)
    scale, prefix = scale_of(max(point.energy_pj for point in found.points) * 1e-12, "J")
    for label, points in series.items():
        colour = _colour(tuple(series), label)
        shared = sorted((p.cluster_rate, p.energy_pj * 1e-12 / scale) for p in points if p.cluster_rate)
        axes.plot([x for x, _ in shared], [y for _, y in shared], "o-", color=colour, markersize=4, linewidth=1)
        for point in points:
            if point.cluster_rate is None:
                axes.axhline(point.energy_pj * 1e-12 / scale, color=colour, linewidth=1, linestyle="--")
    axes.set(xscale="log", xlabel="cluster rate, K / N", ylabel=f"energy, {prefix}J")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    _legend(figure, tuple(series))
    return figure


def _names_at(
    spots: Sequence[tuple[float, float]], rows: Sequence[LayerEstimate], least_s: float
) -> dict[tuple[float, float], list[str]]:
    """Names of the layers that take so long, those together that stand where they could not be told apart."""
    named: dict[tuple[float, float], list[str]] = {}
    for (intensity, rate), row in zip(spots, rows, strict=True):
        if row.latency_s >= least_s:
            place = float(f"{intensity:.2g}"), float(f"{rate:.2g}")
            named.setdefault(place, []).append(clean(row.name)[-24:])
    return named


def _roofs(axes: "Axes", facts: Accelerator, intensities: Sequence[float]) -> None:
    """The lines that no layer lies above: a memory with two ports may use both at once."""
    peak = facts.instances(facts.compute.name) * facts.clock_hz
    low, high = min(intensities) / 2, max(intensities) * 2
    axes.hlines(peak, low, high, colors="0.5", linewidth=0.8)
    axes.text(high, peak, f"{clean(facts.compute.name)} ", va="bottom", ha="right", color="0.4")
    memory = facts.memories[0]
    reading, writing = memory.read_bits_per_cycle, memory.write_bits_per_cycle
    if reading is not None and writing is not None:
        bits_per_second = (max(reading, writing) if memory.shared_port else reading + writing) * facts.clock_hz
        ridge = max(low, min(high, peak / bits_per_second))
        axes.plot([low, ridge], [low * bits_per_second, ridge * bits_per_second], color="0.5", linewidth=0.8)
        axes.text(low, low * bits_per_second, f" {clean(memory.name)}", va="bottom", color="0.4")


def _moved_bits(row: LayerEstimate, point: Point) -> float:
    """Bits through the outermost memory."""
    return sum(row.traffic_bits.get(point.estimate.components[0], {}).values())


def _figure(panels: int, height: float, width: float = 8.0, same_axes: bool = False) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    if panels > MOST_PANELS:
        raise InputError(f"{panels} panels are more than a picture can show ({MOST_PANELS}): compare fewer")
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(panels, 1, squeeze=False, sharex=same_axes, sharey=same_axes)[:, 0])


def _components(points: Sequence[Point]) -> tuple[str, ...]:
    """All components that take energy, outermost first, static energy last."""
    names = dict.fromkeys(name for point in points for name in point.energy_by_component_pj)
    return (*(name for name in names if name != IDLE), *(name for name in names if name == IDLE))


def _colour(names: Sequence[str], name: str) -> str:
    return COLOURS[names.index(name) % len(COLOURS)]


def _legend(figure: "Figure", names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=_colour(names, name), label=clean(name)) for name in names]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(8, len(names)), frameon=False)


PICTURES: Mapping[str, Callable[[Comparison], Any]] = MappingProxyType(
    {"components": components, "layers": layers, "roofline": roofline, "rate": rate}
)
"""Kind of picture to what draws it."""
