"""The exception tree; every error of ours says where, what, and the nearest right thing.

EnergysimError
├── InputError            a file, name, unit, shape or number the user gave is wrong (exit code 2)
│   ├── UnknownNameError  a name that is not known; offers the nearest ones
│   └── ModelReadError    a model that cannot be turned into a layer graph
├── MappingError          a mapping that is not legal on this layer and accelerator
│   └── NothingFitsError  no mapping exists: names the memory, what it needs and what it has
└── OutputError           a result that cannot be written; nothing is left half written
"""

from collections.abc import Iterable
from difflib import get_close_matches


class EnergysimError(Exception):
    """Anything energysim refuses to do; `str(error)` is one or more clear lines."""


class InputError(EnergysimError):
    """Input that is wrong; the message says where, what, and the nearest right thing."""


class UnknownNameError(InputError):
    """A name outside the known set."""


class ModelReadError(InputError):
    """A model that cannot be read into a layer graph."""


class MappingError(EnergysimError):
    """A mapping that is not legal; one reason per line."""


class NothingFitsError(MappingError):
    """No legal mapping exists for a layer on an accelerator."""


class OutputError(EnergysimError):
    """A result that cannot be written."""


def nearest(got: str, known: Iterable[str]) -> str:
    """The hint `; did you mean 'x'?`, or an empty string when nothing known is near `got`."""
    close = get_close_matches(got.lower(), {name.lower(): name for name in known}, n=1, cutoff=0.5)
    names = {name.lower(): name for name in known}
    return f"; did you mean '{names[close[0]]}'?" if close else ""


def unknown(kind: str, got: str, known: Iterable[str], where: str = "") -> UnknownNameError:
    """An `UnknownNameError` for `got`, with the nearest known name or, failing that, all of them."""
    known = sorted(known)
    hint = nearest(got, known) or f"; known: {', '.join(known) or 'none'}"
    return UnknownNameError(f"{where + ': ' if where else ''}unknown {kind} '{got}'{hint}")
