"""Inner loops of Deep k-Means' penalties, one pass over the samples each (compiled: penalty_loops.pxd).

Not compiled, and for what is not on the processor in 32 or 64 bits, `regulariser` does the same in torch.
"""

from typing import Any

COMPILED = not __file__.endswith(".py")


def cluster_sums(samples: Any, labels: Any, sums: Any) -> float:
    """Adds samples (N, s) to the rows (K, s) of `sums` that their labels name; returns the sum of all squares."""
    length = samples.shape[1]
    squares = 0.0
    for i in range(samples.shape[0]):
        label = labels[i]
        for j in range(length):
            x = float(samples[i, j])
            sums[label, j] += x
            squares += x * x
    return squares


def off_means(samples: Any, labels: Any, means: Any, scale: float, out: Any) -> int:
    """Fills `out` (N, s) with `scale` times what each sample is off the row of `means` (K, s) that its label names."""
    length = samples.shape[1]
    for i in range(samples.shape[0]):
        label = labels[i]
        for j in range(length):
            out[i, j] = scale * (samples[i, j] - means[label, j])
    return 0


def projected(samples: Any, basis: Any, inside: Any) -> float:
    """Adds basis^T samples to `inside` (r, s), in 64 bits, for a basis (N, r); returns the sum of all squares."""
    length, rank = samples.shape[1], basis.shape[1]
    squares = 0.0
    if length == 3 and rank == 3:
        return _projected_3(samples, basis, inside)
    for i in range(samples.shape[0]):
        for j in range(length):
            x = float(samples[i, j])
            squares += x * x
            for k in range(rank):
                inside[k, j] += x * float(basis[i, k])
    return squares


def off_basis(samples: Any, basis: Any, inside: Any, scale: float, out: Any) -> int:
    """Fills `out` (N, s) with `scale` times `samples - basis inside`."""
    length, rank = samples.shape[1], basis.shape[1]
    if length == 3 and rank == 3:
        _off_basis_3(samples, basis, inside, scale, out)
        return 0
    for i in range(samples.shape[0]):
        for j in range(length):
            x = float(samples[i, j])
            for k in range(rank):
                x -= float(basis[i, k]) * inside[k, j]
            out[i, j] = scale * x
    return 0


def _projected_3(samples: Any, basis: Any, inside: Any) -> float:
    """`projected` for rows of 3 x 3 kernels, all sums in registers: half the time."""
    squares = 0.0
    a = b = c = d = e = f = g = h = i = 0.0
    for n in range(samples.shape[0]):
        x, y, z = float(samples[n, 0]), float(samples[n, 1]), float(samples[n, 2])
        u, v, w = float(basis[n, 0]), float(basis[n, 1]), float(basis[n, 2])
        squares += x * x + y * y + z * z
        a += u * x
        b += u * y
        c += u * z
        d += v * x
        e += v * y
        f += v * z
        g += w * x
        h += w * y
        i += w * z
    for place, total in enumerate((a, b, c, d, e, f, g, h, i)):
        inside[place // 3, place % 3] += total
    return squares


def _off_basis_3(samples: Any, basis: Any, inside: Any, scale: float, out: Any) -> int:
    """`off_basis` for rows of 3 x 3 kernels."""
    a, b, c = inside[0, 0], inside[0, 1], inside[0, 2]
    d, e, f = inside[1, 0], inside[1, 1], inside[1, 2]
    g, h, i = inside[2, 0], inside[2, 1], inside[2, 2]
    for n in range(samples.shape[0]):
        u, v, w = float(basis[n, 0]), float(basis[n, 1]), float(basis[n, 2])
        x, y, z = float(samples[n, 0]), float(samples[n, 1]), float(samples[n, 2])
        out[n, 0] = scale * (x - u * a - v * d - w * g)
        out[n, 1] = scale * (y - u * b - v * e - w * h)
        out[n, 2] = scale * (z - u * c - v * f - w * i)
    return 0
