"""DistilBERT's published compressed sizes by every way to count: `make reports` writes reports/distilbert_sizes.md.

DKM (arXiv:2108.12659) prints 255.4 MB before and 21.5 and 21.8 MB after compression, of the transformer at 5 bits for
vectors of 2 and the embedding at 3 bits, and not how it counts. What it leaves open is tried in all combinations.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from energysim.compressed.size import MIB_BITS, planned_size

TARGET = Path(__file__).with_suffix(".md")
PUBLISHED = (21.5, 21.8)
UNITS = {"MiB": MIB_BITS, "MB": 8e6}
WORD, POSITION = 30_522 * 768, 512 * 768
ATTENTION, FEED_FORWARD, HEAD = 768 * 768, 768 * 3072, 768 * 768
BIASES = 6 * (5 * 768 + 3072) + 768
NORMS = 6 * 4 * 768 + 2 * 768
CLASSES = (3, 2)
"""Of MNLI, and of the tasks with two: all that one task's model can differ in from another's."""
WAYS: dict[str, dict[str, tuple[int, int] | int]] = {
    "pre-classifier": {
        "5/2": (5, 2),
        "3/1": (3, 1),
        "8/1": (8, 1),
        "dense": 32,
        "dense, 16 bits": 16,
        "not counted": 0,
    },
    "position embedding": {"3/1": (3, 1), "5/2": (5, 2), "8/1": (8, 1), "dense": 32, "dense, 16 bits": 16},
    "classifier": {"dense": 32, "8/1": (8, 1), "not counted": 0},
    "biases": {"not counted": 0, "32 bits": 32, "16 bits": 16},
    "LayerNorm": {"not counted": 0, "32 bits": 32, "16 bits": 16},
    "codebooks": {"32 bits": 32, "16 bits": 16, "not counted": 0},
}
"""What is left open, and the ways to count it: bits/dimensions of a codebook, or bits of each number."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One way to count: a choice for each part, and the bits for each number of classes."""

    choices: tuple[str, ...]
    bits: tuple[float, ...]


def part_bits(elements: int, way: tuple[int, int] | int, book: int) -> float:
    """Bits of a tensor, its codebook at `book` bits a number."""
    if isinstance(way, int):
        return elements * way
    row = planned_size("", "linear", elements, clusters=1 << way[0], length=way[1])
    return row.fixed_bits + row.codebook_bits / 32 * book


def counted() -> Iterator[Counted]:
    """All ways to count."""
    for choices in product(*WAYS.values()):
        head, position, last, bias, norm, book = (WAYS[part][name] for part, name in zip(WAYS, choices, strict=True))
        if not isinstance(bias, int) or not isinstance(norm, int) or not isinstance(book, int):
            raise TypeError("biases, norms and codebooks are counted by bits")
        common = 24 * part_bits(ATTENTION, (5, 2), book) + 12 * part_bits(FEED_FORWARD, (5, 2), book)
        common += part_bits(WORD, (3, 1), book) + part_bits(HEAD, head, book) + part_bits(POSITION, position, book)
        common += BIASES * bias + NORMS * norm
        yield Counted(choices, tuple(common + part_bits(768 * n, last, book) + n * bias for n in CLASSES))


def nearest(target: float, unit: float) -> list[tuple[float, Counted]]:
    """The sizes of MNLI's model, nearest first, and how they are counted."""
    found = [(one.bits[0] / unit, one) for one in counted()]
    return sorted(found, key=lambda pair: abs(pair[0] - target))


def rendered() -> str:
    """The report as Markdown."""
    every = list(counted())
    apart = max(abs(one.bits[0] - one.bits[1]) for one in every) / 8e6
    printed = [{round(bits / unit, 1) for bits in one.bits} for one in every for unit in UNITS.values()]
    both = sum(set(PUBLISHED) <= sizes for sizes in printed)
    lines = ["# DistilBERT's published sizes", "", *(__doc__ or "").strip().splitlines(), ""]
    lines += [
        f"Of {len(every):,} ways to count, in MiB and in MB, {both} give both numbers to models of two tasks:",
        f"these differ in their classifier alone, which makes {apart:.3f} MB at most. If that is what the two are",
        "(21.5 is MNLI's; of 21.8 the sources at hand say no more), what makes the published 0.3 cannot be a way",
        "to count but must be a setting that differs and is not printed. MB of a million bytes are out: no way",
        "comes within 0.3.",
        "",
        "Each number by itself, nearest first; size is MNLI's.",
        "",
        f"| published | size | unit | off | {' | '.join(WAYS)} |",
        f"|---|---|---|---|{'---|' * len(WAYS)}",
    ]
    for target, (name, unit) in product(PUBLISHED, UNITS.items()):
        for size, one in nearest(target, unit)[:3]:
            lines.append(f"| {target} | {size:.3f} | {name} | {size - target:+.3f} | {' | '.join(one.choices)} |")
    lines += ["", "The conventions that reproduce the paper's other networks:", ""]
    lines += ["| convention | MiB | off 21.5 | off 21.8 |", "|---|---|---|---|"]
    for name, choices in (
        ("`dkm`: weights alone", ("5/2", "3/1", "dense", "not counted", "not counted", "32 bits")),
        ("`dkm_whole`: biases and norms too", ("5/2", "3/1", "dense", "32 bits", "32 bits", "32 bits")),
    ):
        size = next(one.bits[0] for one in every if one.choices == choices) / MIB_BITS
        lines.append(f"| {name} | {size:.3f} | {size - 21.5:+.3f} | {size - 21.8:+.3f} |")
    lines += ["", "Many ways come within 0.05 of either number, so that a match of one alone names no convention."]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    TARGET.write_text(rendered())
    print(rendered())
