"""What one sample of a weight is: the description that training, sharing, storage and energy have in common.

Pure shape arithmetic on numpy arrays and torch tensors alike; gradients flow through it, and nothing is ever
written into what it is given.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from energysim.errors import InputError, unknown

KINDS = {
    "row": "one row of one kernel slice, as long as the kernel is wide (DeepK §2.1)",
    "scalar": "one weight",
    "slice": "one kernel slice: all weights between one input and one output channel",
    "filter": "all weights of one output channel",
    "vector": "d neighbouring weights in output-major order (DKM §3)",
}
"""Kinds of samples. Weights without kernel axes (linear, embedding) are 1x1 kernels: rows and slices are scalars."""


@dataclass(frozen=True, slots=True)
class Granularity:
    """How a weight divides into samples: `kind`, the `length` of a vector, and where the output channels lie.

    A transposed convolution keeps its output channels on axis 1, divided by `groups`, and so do linear layers whose
    weight is (inputs, outputs); `transposed` weights are put in output-major order (outputs, inputs per group, kernel)
    before they are cut, and put back by `restore`.
    """

    kind: str
    length: int = 1
    transposed: bool = False
    groups: int = 1

    def __post_init__(self) -> None:
        """`UnknownNameError` for the kind, `InputError` for a length or groups that cannot be."""
        if self.kind not in KINDS:
            raise unknown("granularity", str(self.kind), KINDS)
        for name, value in (("length", self.length), ("groups", self.groups)):
            if type(value) is not int or value < 1:
                raise InputError(f"granularity {self.kind}: {name} must be a whole number of at least 1, not {value!r}")
        if self.length != 1 and self.kind != "vector":
            raise InputError(f"granularity {self.kind}: only vectors have a length; 'vector:{self.length}' is one")
        if self.groups != 1 and not self.transposed:
            raise InputError(f"granularity {self.kind}: groups matter for transposed convolutions only")

    def __str__(self) -> str:
        """The text that `parse_granularity` reads: `row`, `vector:4`, `filter/transposed:2`."""
        length = f":{self.length}" if self.kind == "vector" else ""
        return f"{self.kind}{length}" + (f"/transposed:{self.groups}" if self.transposed else "")

    def sample_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Number and length of the samples, (N, d), of a weight of this shape; N is rounded up, nothing is dropped."""
        channels = self._output_major(tuple(shape))
        d = {
            "row": prod(channels[-1:]) if len(channels) > 2 else 1,
            "scalar": 1,
            "slice": prod(channels[2:]),
            "filter": prod(channels[1:]),
            "vector": self.length,
        }[self.kind]
        return (-(-prod(channels) // d) if d else 0), d

    def samples(self, weight: Any) -> Any:
        """The weight as samples, (N, d); a view where the memory allows it.

        Where d does not divide the weight, the last sample is the last d weights: it shares some with the sample
        before it, so that no made-up value moves a centroid. A weight shorter than d is repeated.
        """
        count, d = self.sample_shape(tuple(weight.shape))
        flat = self._to_output_major(weight).reshape(-1)
        total = flat.shape[0]
        if count * d == total:
            return flat.reshape(count, d)
        order = [position % total for position in range(total - d, total)]
        return _join(flat[: (count - 1) * d].reshape(count - 1, d), flat[order].reshape(1, d))

    def restore(self, samples: Any, shape: tuple[int, ...]) -> Any:
        """The weight of this shape that these samples, (N, d), are of; undoes `samples`.

        Raises `InputError` when the samples are not those of such a weight.
        """
        shape = tuple(shape)
        count, d = self.sample_shape(shape)
        if tuple(samples.shape) != (count, d):
            got = " x ".join(map(str, samples.shape))
            raise InputError(f"a weight of shape {shape} has {count} x {d} samples by {self}, not {got}")
        total = prod(shape)
        flat = samples.reshape(-1)
        if count * d != total:
            tail = total - (count - 1) * d
            flat = _join(flat[: (count - 1) * d], flat[count * d - tail :])
        return self._from_output_major(flat, shape)

    def _output_major(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if not self.transposed:
            return shape
        if len(shape) < 2 or shape[0] % self.groups:
            raise InputError(f"shape {shape} is no transposed weight of {self.groups} groups")
        return (self.groups * shape[1], shape[0] // self.groups, *shape[2:])

    def _to_output_major(self, weight: Any) -> Any:
        if not self.transposed:
            return weight
        shape = tuple(weight.shape)
        grouped = weight.reshape(self.groups, shape[0] // self.groups, *shape[1:])
        return grouped.swapaxes(1, 2).reshape(self._output_major(shape))

    def _from_output_major(self, flat: Any, shape: tuple[int, ...]) -> Any:
        if not self.transposed:
            return flat.reshape(shape)
        grouped = flat.reshape(self.groups, shape[1], shape[0] // self.groups, *shape[2:])
        return grouped.swapaxes(1, 2).reshape(shape)


def parse_granularity(text: str) -> Granularity:
    """The granularity that `str` writes: `row`, `vector:4`, `filter/transposed:2`; `InputError` for anything else."""
    name, _, layout = text.partition("/")
    kind, _, length = name.partition(":")
    word, _, groups = layout.partition(":")
    if word not in ("", "transposed") or not all(n.isascii() and n.isdigit() for n in (length or "1", groups or "1")):
        raise InputError(f"'{text}' is no granularity: write a kind such as row, vector:4, or filter/transposed:2")
    return Granularity(kind, int(length or 1), word == "transposed", int(groups or 1))


def _join(first: Any, second: Any) -> Any:
    """The two one after the other; numpy and torch name this differently."""
    if hasattr(first, "detach"):
        import torch

        return torch.cat((first, second))
    import numpy as np

    return np.concatenate((first, second))
