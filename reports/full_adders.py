"""What a full adder costs, and what that says of published operators: `make reports` writes reports/full_adders.md.

Data: energysim/hardware/data/arithmetic.csv (Horowitz, ISSCC 2014, integer operators at 45 nm, 0.9 V).
"""

from collections.abc import Iterator
from pathlib import Path

from energysim.costs.full_adders import full_adders_of_dot_product
from energysim.hardware.full_adder_energy import operators, pj_per_full_adder

TARGET = Path(__file__).with_suffix(".md")


def published() -> Iterator[str]:
    """The table of published operators."""
    yield f"One full adder: {pj_per_full_adder() * 1e3:.3f} fJ at 45 nm, 0.9 V, the geometric mean of published pJ /"
    yield "full adders. A ripple-carry adder of n bits has n of them, a Baugh-Wooley multiplier n^2.\n"
    yield "| integer operator | full adders | published pJ | predicted pJ | error | told by the three others | error |"
    yield "|---|---|---|---|---|---|---|"
    for one in operators():
        cells = [f"{one.bits}-bit {one.operation}", f"{one.full_adders:,}", f"{one.published_pj:g}"]
        cells += [
            f"{one.predicted_pj:.4g}",
            f"{one.error:+.1%}",
            f"{one.held_out_pj:.4g}",
            f"{one.held_out_error:+.1%}",
        ]
        yield f"| {' | '.join(cells)} |"
    yield "\nFour figures of one source and one process: the error of other operators and processes is not known, and"
    yield "the published 16-bit figures are of floating point. Nothing here says what a register or a wire costs."


def macs() -> Iterator[str]:
    """What a MAC costs at other bits, in a dot product of 576 terms (64 channels, 3 x 3)."""
    yield "\n## A MAC at other bits\n"
    yield "In a dot product of 576 terms, additions at the width of DeepK §3, at 45 nm; the last column is the ratio"
    yield "that a unit with a fixed price per MAC leaves out.\n"
    yield "| weight x input bits | full adders a MAC | pJ | of 16 x 16 |"
    yield "|---|---|---|---|"
    whole = full_adders_of_dot_product(576, 16, 16) / 576
    for weight, activation in ((16, 16), (8, 16), (8, 8), (4, 8), (4, 4), (2, 8), (1, 8)):
        each = full_adders_of_dot_product(576, weight, activation) / 576
        yield f"| {weight} x {activation} | {each:.1f} | {each * pj_per_full_adder():.4f} | {each / whole:.3f} |"


def rendered() -> str:
    """The report as Markdown."""
    lines = ["# The energy of full adders", "", *(__doc__ or "").strip().splitlines(), "", *published(), *macs()]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    TARGET.write_text(rendered())
    print(rendered())
