"""Renders what the runs beside peers wrote: `python -m bench.peer` makes reports/peer.md and the README's table.

Reads reports/accelforge.json, zigzag_network.json, zigzag_counts.json and model_differences.json; runs nothing.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from bench.accelforge_layers import BETTER, CASES, REFERENCES, Case

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- peers: `make peers` writes this -->", "<!-- /peers -->"
NEAR = 1e-9

Row = dict[str, Any]

FORGE = """\
AccelForge (PyPI `accelforge` {versions}; searched {dates}) in its own environment, one process, its own exhaustive
settings, on hierarchies both can express (`bench/hardware/nvdla_forge.yaml`, `eyeriss_forge.yaml`: sizes and arrays of
its examples, energies by hand). CPU seconds are search against search, imports left out; ours is a median in a warm
process. Each mapping is priced by both models: AccelForge's is translated into ours, ours into AccelForge's. *Array
filled*: AccelForge looks only at mappings that fill the axes (`min_usage: 1`, as in its examples), ours at all.
AccelForge allows uneven marks, divisors only. Percentages: ours against AccelForge's mapping, by the same model.
"""
ZIGZAG = """\
ZigZag (PyPI `zigzag-dse`) in its own environment on its shipped hardware, translated at the same costs
(`bench/hardware/tpu_like.yaml`, `eyeriss_like.yaml`); layers of equal work once, CPU seconds without imports, one
thread. Energies are of the whole network, in uJ. ZigZag's mappings are counted by us tensor by tensor, each with its
marks where ZigZag has them, for all layers; where its mapping is legal here as one nest, that is the same number.
ZigZag searches uneven tilings with padded tiles and, on `tpu_like`, the spread of its mapping file. By its model
ours is the cheapest of a few mappings that cost the same by our counts: the models see different savings (below).
"""
CAUSES = """\
*Finished outputs kept narrow*: ZigZag's memories hold finished outputs at 8 bits, ours hold any output at the width of
partial sums, 16. *Marks on either side of the array*: ZigZag lets a memory outside the array hold its tile inside
loops during which a register inside the array keeps another tensor's; our nest has one place for the spread loops,
inside all marks of outer memories and outside all of inner ones, where that tile grows too large.
"""
DIFFER = """\
Each line is one mapping of a small layer, outermost first, tensors resting in DRAM, marks in brackets. The count is
ours in closed form, by literal replay of the nest, and the peer's for the same mapping.
"""
COUNTED = """\
Elements are what each tool says a layer touches (weights + inputs + outputs), 8 bits each; DRAM bits are what ZigZag's
own best mapping on `tpu_like` moves, beside our compulsory traffic.
"""
HEAD = """\
Made by `make peers`, which installs AccelForge and ZigZag each in an environment of its own, searches and prices on
our side anew and keeps what the peers found; `make peers SEARCH=--search` runs their searches again.
"""


def read(name: str) -> Any:
    """What a run wrote, None when it never did."""
    path = ROOT / "reports" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def spent(there: Row) -> str:
    """CPU seconds of AccelForge, or after how many it was stopped."""
    return f"{there['cpu_s']:.1f}" if "cpu_s" in there else f"> {there['stopped_cpu_s']:.0f}"


def times_less(there: Row, cpu_s: float) -> str:
    """How many times less CPU time ours took."""
    if "cpu_s" in there:
        return f"{there['cpu_s'] / cpu_s:,.0f}"
    return f"> {there['stopped_cpu_s'] / cpu_s:,.0f}"


def microjoules(pj: float | None) -> str:
    """An energy, or a dash where there is none."""
    return "-" if pj is None else f"{pj / 1e6:,.2f}"


def versus(ours: float | None, theirs: float | None) -> str:
    """Ours against theirs in percent."""
    return "-" if ours is None or theirs is None else f"{ours / theirs - 1:+.1%}"


def state(found: Row) -> str:
    """What is proven of one of our results."""
    return "proven" if found["proven"] else f"gap {1 - found['bound_pj'] / found['energy_pj']:.0%}"


def accelforge(known: dict[str, Row]) -> list[str]:
    """Every layer on a hierarchy with an array, both mappings by both models."""
    versions = sorted({row["accelforge"]["version"] for row in known.values() if "version" in row["accelforge"]})
    dates = sorted({row["accelforge"]["date"] for row in known.values()})
    lines = [
        "## Layers, against AccelForge",
        "",
        *FORGE.format(
            versions=", ".join(versions), dates=" to ".join(dict.fromkeys((dates[0], dates[-1])))
        ).splitlines(),
        "",
        "| layer on hierarchy | AccelForge CPU s | ours | CPU s | times less | AccelForge's mapping uJ, its model "
        "| our counts | ours uJ, our counts | | AccelForge's model | |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        row = known.get(case.name)
        if row is None or case.words:
            continue
        there, by_us, by_them = row["accelforge"], row.get("accelforge_our_pj"), row.get("their_pj", {})
        for space, found in row["ours"].items():
            cells = (
                f"{case.name} | {spent(there)} | {space}, {state(found)} | {found['cpu_s']:.3f}",
                f"{times_less(there, found['cpu_s'])} | {microjoules(there.get('energy_pj'))} | {microjoules(by_us)}",
                f"{microjoules(found['energy_pj'])} | {versus(found['energy_pj'], by_us)}",
                f"{microjoules(by_them.get(space))} | {versus(by_them.get(space), there.get('energy_pj'))}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", missed_of_accelforge(known)]
    lines += parting(known)
    refused = [f"{case.name}: {'; '.join(known[case.name]['refused'])}" for case in CASES if _refused(known, case)]
    if refused:
        lines += ["", "AccelForge's mapping is not legal in our nouns: " + " / ".join(refused) + "."]
    return [*lines, ""]


def missed_of_accelforge(known: dict[str, Row]) -> str:
    """AccelForge's mappings in our even space, and what our search missed of them."""
    rows = {case.name: known[case.name] for case in CASES if known.get(case.name, {}).get("accelforge_even")}
    cheaper = {
        name: versus(row["ours"]["even"]["energy_pj"], row["accelforge_our_pj"])
        for name, row in rows.items()
        if row["accelforge_our_pj"] < row["ours"]["even"]["energy_pj"] * (1 - NEAR)
    }
    wrong = sum(row["accelforge_our_pj"] < row["ours"]["even"]["bound_pj"] * (1 - NEAR) for row in rows.values())
    named = "".join(f" ({name}: {share})" for name, share in cheaper.items())
    return (
        f"{len(rows)} of AccelForge's mappings lie in our even space of divisors (reference layers included); "
        f"{len(cheaper)} of them cheaper than ours{named}; {wrong} cost less than our lower bound."
    )


def parting(known: dict[str, Row]) -> list[str]:
    """Counts of these mappings on which the models part; the last section shows the same on small layers, by replay."""
    found = []
    for case in CASES:
        for kind, keys in known.get(case.name, {}).get("different", {}).items():
            counts = [
                f"{key} {here:,} here, {there:,.0f} there" for key, (here, there) in keys.items() if key != "refused"
            ]
            found += [f"* {case.name}, {kind}: {'; '.join(counts)}"] if counts else []
    if not found:
        return ["", "Both models count every one of these mappings alike, integer for integer."]
    return [
        "",
        "Counts that the models do not share; of all others every one is equal, integer for integer:",
        "",
        *found,
    ]


def _refused(known: dict[str, Row], case: Case) -> bool:
    return bool(known.get(case.name, {}).get("refused"))


def references(known: dict[str, Row]) -> list[str]:
    """Layers on one shared buffer, beside energies that are known."""
    lines = [
        "### Reference optima",
        "",
        "DRAM and one buffer shared by all tensors (`bench/hardware/shared_buffer.yaml`), no array; pJ.",
        "",
        "| layer | buffer words | known | AccelForge | CPU s | ours | | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    better = None
    for case in CASES:
        row = known.get(case.name)
        if row is None or not case.words:
            continue
        better = row if "better_our_pj" in row else better
        there = row["accelforge"]
        for space, found in row["ours"].items():
            lines.append(
                f"| {case.layer} | {case.words:,} | {REFERENCES[case.layer, case.words]:,.0f} "
                f"| {there.get('energy_pj', 0):,.0f} | {spent(there)} | {found['energy_pj']:,.0f} "
                f"| {space}, {state(found)} | {found['cpu_s']:.3f} |"
            )
    if better is not None:
        theirs = better.get("their_pj", {}).get("better")
        lines += [
            "",
            f"`{BETTER}` costs {better['better_our_pj']:,.0f} pJ by our counts"
            + (f" and {theirs:,.0f} by AccelForge's own model" if theirs else "")
            + f"; AccelForge's search returns {better['accelforge'].get('energy_pj', 0):,.0f}.",
        ]
    return [*lines, ""]


def micro(rows: Iterable[tuple[Row, float]]) -> str:
    """The sum of energies over layers, each as often as the network has it, from pJ to uJ."""
    values = [row["times"] * pj for row, pj in rows]
    return f"{sum(values) / 1e6:,.0f}" if values else "-"


def networks(results: dict[str, Row]) -> list[str]:
    """Whole networks beside ZigZag."""
    lines = [
        "## Whole networks, against ZigZag",
        "",
        *ZIGZAG.splitlines(),
        "",
        "| network | ZigZag CPU s | ours | CPU s | times less | ZigZag's, our counts | ours, our counts | "
        "| ZigZag's, its model | ours, its model | | layers where ours is not dearer | dearest |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, run in results.items():
        rows = run["layers"]
        by_us = [(row, row["zigzag_by_tensor_pj"]) for row in rows]
        for space in rows[0]["ours"]:
            ours = [(row, row["ours"][space]["energy_pj"]) for row in rows]
            taken = [row for row in rows if "zigzag_pj" in row["ours"][space]]
            seconds = sum(row["ours"][space]["cpu_s"] for row in rows)
            proven = sum(row["ours"][space]["proven"] for row in rows)
            by_them = [(row, row["ours"][space]["zigzag_pj"]) for row in taken]
            ratios = [row["ours"][space]["energy_pj"] / row["zigzag_by_tensor_pj"] for row in rows]
            cells = (
                f"{name} | {run['zigzag_cpu_s']:.1f} | {space}, {proven} of {len(rows)} proven | {seconds:.2f}",
                f"{run['zigzag_cpu_s'] / seconds:.0f} | {micro(by_us)} | {micro(ours)}",
                versus(sum(r["times"] * pj for r, pj in ours), sum(r["times"] * pj for r, pj in by_us)),
                f"{micro((row, row['zigzag_pj']) for row in taken)} | {micro(by_them)}",
                versus(sum(r["times"] * e for r, e in by_them), sum(r["times"] * r["zigzag_pj"] for r in taken))
                if taken
                else "-",
                f"{sum(ratio <= 1 + NEAR for ratio in ratios)} of {len(rows)} | {max(ratios) - 1:+.1%}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    lines += missed(results)
    causes: dict[str, list[str]] = {}
    for name, run in results.items():
        for row in run["layers"]:
            if "cause" in row:
                causes.setdefault(row["cause"], []).append(f"{row['layer']} ({name})")
    legal = sum("zigzag_our_pj" in row for run in results.values() for row in run["layers"])
    total = sum(len(run["layers"]) for run in results.values())
    lines += ["", f"As one nest, {legal} of ZigZag's {total} mappings are legal here. The others:", ""]
    lines += [f"* {cause}: {len(where)} layers" for cause, where in sorted(causes.items())]
    lines += [
        "",
        *CAUSES.splitlines(),
    ]
    return [*lines, ""]


def missed(results: dict[str, Row]) -> list[str]:
    """ZigZag's mappings that lie in our even space: what our search missed of them, and whether a bound is wrong."""
    rows = [(name, row) for name, run in results.items() for row in run["layers"] if row.get("zigzag_even")]
    cheaper = [
        (name, row) for name, row in rows if row["zigzag_our_pj"] < row["ours"]["even"]["energy_pj"] * (1 - NEAR)
    ]
    wrong = [(name, row) for name, row in rows if row["zigzag_our_pj"] < row["ours"]["even"]["bound_pj"] * (1 - NEAR)]
    text = f"{len(rows)} of ZigZag's mappings lie in our even space of divisors; {len(cheaper)} are cheaper than ours"
    worst = max(cheaper, key=lambda item: item[1]["ours"]["even"]["energy_pj"] / item[1]["zigzag_our_pj"], default=None)
    if worst is not None:
        name, row = worst
        text += f" (most: {versus(row['ours']['even']['energy_pj'], row['zigzag_our_pj'])}, {row['layer']}, {name})"
    return ["", f"{text}; {len(wrong)} cost less than our lower bound."]


def differences(rows: list[Row]) -> list[str]:
    """Counts on which the models part, with the literal replay beside them."""
    lines = [
        "## Where the models differ, by replay",
        "",
        *DIFFER.splitlines(),
        "",
        "| peer | what | layer | mapping | count | ours | replay | peer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        dims = " ".join(f"{d}{n}" for d, n in row["dims"].items())
        theirs = "-" if row["theirs"] is None else f"{row['theirs']:,.0f}"
        lines.append(
            f"| {row['peer']} | {row['what']} | {dims} on {row['hardware']} | `{row['nest']}` | {row['key']} "
            f"| {row['ours']:,} | {row['replay']:,} | {theirs} |"
        )
    return [*lines, ""]


def counted(rows: list[Row]) -> list[str]:
    """MACs and compulsory elements of the same layers."""
    lines = [
        "## The same layers counted by ZigZag",
        "",
        *COUNTED.splitlines(),
        "",
        "| layer | MACs | ZigZag | elements | ZigZag | compulsory bits | ZigZag's DRAM bits |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        sizes = (" + ".join(f"{n:,}" for n in row[key]) for key in ("elements", "zigzag_elements"))
        lines.append(
            f"| {row['layer']} | {row['macs']:,} | {row['zigzag_macs']:,} | {' | '.join(sizes)} "
            f"| {row['compulsory_bits']:,} | {row['zigzag_dram_bits']:,} |"
        )
    agree = all(r["macs"] == r["zigzag_macs"] and r["elements"] == r["zigzag_elements"] for r in rows)
    return [*lines, "", f"MACs and compulsory elements {'are equal on all layers' if agree else 'DIFFER'}.", ""]


def summary(layers: dict[str, Row], results: dict[str, Row]) -> list[str]:
    """The README's table: a line for each hierarchy beside AccelForge and each network beside ZigZag."""
    lines = [
        "| against | on | layers | its CPU s | ours | times less | our energy against its, our counts | its model |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[str, list[Row]] = {}
    for case in CASES:
        if case.name in layers and not case.words:
            groups.setdefault(case.hardware + (", filled" if case.min_usage else ""), []).append(layers[case.name])
    for group, rows in groups.items():
        for space in rows[0]["ours"]:
            ended = [row for row in rows if "cpu_s" in row["accelforge"] and row.get("accelforge_our_pj")]
            ratios = [row["accelforge"]["cpu_s"] / row["ours"][space]["cpu_s"] for row in ended]
            by_us = [row["ours"][space]["energy_pj"] / row["accelforge_our_pj"] - 1 for row in ended]
            theirs = [
                (row["their_pj"].get(space), row["accelforge"]["energy_pj"]) for row in ended if "their_pj" in row
            ]
            by_them = [ours / their - 1 for ours, their in theirs if ours]
            many = f"{len(rows)} layers" + (f", {len(rows) - len(ended)} stopped" if len(ended) < len(rows) else "")
            lines.append(
                f"| AccelForge | {group} | {many} | {sum(row['accelforge']['cpu_s'] for row in ended):.1f} "
                f"| {space} {sum(row['ours'][space]['cpu_s'] for row in ended):.2f} "
                f"| {min(ratios):,.0f} to {max(ratios):,.0f}, median {median(ratios):,.0f} "
                f"| {spread(by_us)} | {spread(by_them)} |"
            )
    for name, run in results.items():
        rows = run["layers"]
        for space in rows[0]["ours"]:
            seconds = sum(row["ours"][space]["cpu_s"] for row in rows)
            total = sum(row["times"] * row["ours"][space]["energy_pj"] for row in rows)
            theirs = sum(row["times"] * row["zigzag_by_tensor_pj"] for row in rows)
            taken = [row for row in rows if "zigzag_pj" in row["ours"][space]]
            by_them = versus(
                sum(row["times"] * row["ours"][space]["zigzag_pj"] for row in taken),
                sum(row["times"] * row["zigzag_pj"] for row in taken) or None,
            )
            lines.append(
                f"| ZigZag | {name} | {len(rows)} distinct | {run['zigzag_cpu_s']:.1f} | {space} {seconds:.2f} "
                f"| {run['zigzag_cpu_s'] / seconds:,.0f} | {versus(total, theirs)} | {by_them} |"
            )
    return lines


def spread(shares: list[float]) -> str:
    """The least and the most of some shares in percent."""
    return f"{min(shares):+.1%} to {max(shares):+.1%}" if shares else "-"


def write() -> str:
    """Write the report, and the summary between the README's marks where it has them; returns the report."""
    layers, results = read("accelforge") or {}, read("zigzag_network") or {}
    lines = [
        "# energysim beside its peers",
        "",
        *HEAD.splitlines(),
        "",
    ]
    lines += accelforge(layers) + references(layers) if layers else []
    lines += networks(results) if results else []
    for name, section in (("model_differences", differences), ("zigzag_counts", counted)):
        rows = read(name)
        lines += section(rows) if rows else []
    (ROOT / "reports" / "peer.md").write_text("\n".join(lines))
    readme = ROOT / "README.md"
    table = "\n".join([BEGIN, *summary(layers, results), END])
    text = readme.read_text()
    readme.write_text(re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table, text, flags=re.DOTALL))
    return "\n".join(lines)


if __name__ == "__main__":
    print(write())
