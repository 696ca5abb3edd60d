"""What data cannot say, in words: prices that rise and fall together, rows on which all hangs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from energysim.calibration.calibration import Row

    Floats = NDArray[np.float64]

APART = 0.15
"""Sine of the angle between two columns below which rows do not tell their prices apart."""

ILL_CONDITIONED = 30.0
"""Condition number (columns of unit length) above which fitted coefficients trade against each other (Belsley)."""

HEAVY = 0.9


def condition_number(design: "Floats") -> float:
    """Of the design with columns of unit length; infinite when one follows from the others."""
    import numpy as np

    lengths = np.linalg.norm(design, axis=0)
    if not lengths.all():
        return float("inf")
    values = np.linalg.svd(design / lengths, compute_uv=False)
    least = values[-1] if len(values) == design.shape[1] and len(design) >= design.shape[1] else 0.0
    return float(values[0] / least) if least > 1e-12 else float("inf")


def remarks_on(
    parts: "tuple[tuple[str, ...], Floats]",
    design: "Floats",
    fitted: Sequence[str],
    leverage: "Floats",
    rows: "Sequence[Row]",
) -> tuple[str, ...]:
    """One sentence for each thing that a reader of the fitted prices should know."""
    found = [
        f"the data cannot tell {first} from {second}: their energies rise and fall together (sine of angle {sine:.2f})"
        for first, second, sine in alike(*parts)
    ]
    condition = condition_number(design)
    if condition > ILL_CONDITIONED:
        named = ", ".join(fitted)
        found.append(f"the fitted coefficients trade against each other ({named}; condition number {condition:.0f})")
    found += [
        f"the fit hangs on '{row.name}': leverage {share:.2f} of 1"
        for row, share in zip(rows, leverage, strict=True)
        if share > HEAVY
    ]
    return tuple(found)


def alike(names: Sequence[str], columns: "Floats") -> list[tuple[str, str, float]]:
    """Pairs of columns that nearly are multiples of each other, and the sine of their angle."""
    import numpy as np

    lengths = np.linalg.norm(columns, axis=0)
    found = []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            if lengths[i] and lengths[j]:
                cosine = min(1.0, float(columns[:, i] @ columns[:, j] / (lengths[i] * lengths[j])))
                sine = float(np.sqrt(1 - cosine**2))
                if sine < APART:
                    found.append((names[i], names[j], sine))
    return found
