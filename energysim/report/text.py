"""Numbers and names as people read them: SI units, common decimals, bars, and names without hidden characters."""

import unicodedata
from collections.abc import Iterable
from math import floor, log10

SI = ((1e-12, "p"), (1e-9, "n"), (1e-6, "µ"), (1e-3, "m"), (1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"))

SPACES = {False: "even mappings", True: "uneven mappings by divisors"}
"""What a search covers, in words, by `uneven` (docs/decisions/): a proof holds for these and no others."""


BETTER = {"energy": "costs less", "latency": "is faster", "edp": "has a smaller energy-delay product"}
"""What a better mapping would do, by objective."""


def clean(text: str) -> str:
    """The text with control, bidirectional and other unseen characters shown as escapes, on one line."""
    return "".join(char if _seen(char) else _escape(char) for char in text)


def clean_lines(text: str) -> str:
    """`clean`, but line ends stay."""
    return "\n".join(clean(line) for line in text.split("\n"))


def _seen(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] not in "CZ"


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def si(value: float, unit: str) -> str:
    """Three significant digits with an SI prefix: `si(25.3e-3, "J")` is "25.3 mJ", of words "2.29 M MACs"."""
    if isinstance(value, int) and abs(value) < 1000:
        return f"{value} {unit}"
    scale, prefix = scale_of(value, unit)
    between = " " if prefix and len(unit) > 2 else ""
    return f"{decimals(value / scale)} {prefix}{between}{unit}"


def joules(energy_pj: float) -> str:
    """Energy with its unit, from picojoules."""
    return si(energy_pj * 1e-12, "J")


def scale_of(value: float, unit: str = "") -> tuple[float, str]:
    """The SI scale and prefix in which a value has one to three digits before the point; nobody says kiloseconds."""
    known = [each for each in SI if unit != "s" or each[0] <= 1.0]
    fitting = [(scale, prefix) for scale, prefix in known if abs(value) >= scale * 0.9995]
    return fitting[-1] if fitting else ((1.0, "") if value == 0 else SI[0])


def decimals(value: float, digits: int = 3) -> str:
    """A number at so many significant digits, never with an exponent and never fewer digits than its whole part."""
    if value == 0:
        return "0"
    return f"{value:.{places(value, digits)}f}"


def places(value: float, digits: int = 3) -> int:
    """Decimal places that give so many significant digits."""
    return max(0, digits - 1 - floor(log10(abs(value) * (1 + 5 * 10.0 ** -(digits + 1))))) if value else 0


def in_one_unit(values: Iterable[float], unit: str) -> tuple[list[str], str]:
    """Values in one common unit with common decimals, and that unit: what is compared reads in one scale."""
    values = list(values)
    largest = max(values, default=0.0)
    scale, prefix = scale_of(largest, unit)
    after = places(largest / scale, 4)
    return [f"{value / scale:.{after}f}" for value in values], prefix + unit


def percent(share: float) -> str:
    """A share of 1 in whole percent; "<1" for what is there but rounds to nothing, empty for nothing."""
    if share <= 0:
        return ""
    return str(int(share * 100 + 0.5)) if share >= 0.005 else "<1"


def bar(share: float, width: int, ascii_only: bool = False) -> str:
    """A bar of at most `width` cells for a share of 1, in eighths of a cell where the terminal can show them."""
    if ascii_only:
        return "#" * round(share * width)
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]
