"""What commands share: the parser, the arguments that say what runs where, what was asked, the progress bar."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from energysim.errors import InputError, OutputError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from energysim.estimate import Progress
    from energysim.mapping.search_cache import SearchCache
    from energysim.workload.graph import LayerGraph

SHORT_S = 0.5
"""Seconds of work for which no progress is shown."""

FORMATS = ("table", "json", "csv")


class Parser(argparse.ArgumentParser):
    """Errors in one line, with the nearest right word."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        raise InputError(f"{message}; see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            what = action.metavar if isinstance(action.metavar, str) else "/".join(action.option_strings)
            hint = nearest(str(value), known) or f"; known: {', '.join(known)}"
            self.error(f"unknown {what or 'command'} '{value}'{hint}")


def new_command(commands: Any, name: str, run: Callable[..., None], says: str, example: str) -> argparse.ArgumentParser:
    """A command with its help, its example, and the function that runs it."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(run=run)
    return made


def add_work(command: argparse.ArgumentParser, *more: str) -> None:
    """The arguments that say what runs where."""
    says = "a name (see `energysim models`), a file (.yaml, .onnx, ...), or package.module:function"
    command.add_argument("model", metavar="MODEL", help=says)
    for name in more:
        command.add_argument(name, metavar=name.upper(), help=f"name of a {name}")
    says = "a name (see `energysim accelerators`), or FILE.yaml"
    command.add_argument("--on", required=True, metavar="ACCELERATOR", help=says)
    command.add_argument("--bits", metavar="BITS", help=SAYS_BITS)
    says = "a compressed file of the model (see `energysim compress`): how its weights are shared"
    command.add_argument("--compressed", metavar="FILE", help=says)
    add_search(command)


SAYS_BITS = "8, w4a8 (weights 4, activations 8), or a YAML file of bits and densities per layer (default: the model's)"


def add_search(command: argparse.ArgumentParser) -> None:
    """The arguments that say how a model is read and how its mappings are searched."""
    command.add_argument("--batch", type=int, default=1, metavar="N", help="inputs at once (default 1)")
    says = "a restriction of the mappings searched: row_stationary, ... (default unconstrained)"
    command.add_argument("--dataflow", default="unconstrained", metavar="NAME", help=says)
    command.add_argument("--constraints", metavar="FILE", help="a YAML file of restrictions by memory and array")
    says = "what mappings are chosen by: energy (default), latency, or edp, their product"
    command.add_argument("--objective", default="energy", metavar="NAME", help=says)
    command.add_argument("--uneven", action="store_true", help="a memory's tensors may lie at different nest depths")
    says = "seconds for all searches together; what is not proven by then is shown with its gap (default: no limit)"
    command.add_argument("--time-budget", type=float, metavar="SECONDS", help=says)
    add_reading(command)
    says = "search anew: neither read nor keep results on disk (see `energysim cache`)"
    command.add_argument("--no-cache", action="store_true", help=says)


def add_reading(command: argparse.ArgumentParser) -> None:
    """The arguments that say how a model file is read."""
    says = "size of a symbolic dim of a model file, as in --dim batch=1 --dim sequence=128"
    command.add_argument("--dim", action="append", default=[], metavar="NAME=SIZE", help=says)
    says = "how often loops run whose length the model file does not say (default: once, with a warning)"
    command.add_argument("--trips", type=int, metavar="N", help=says)
    says = "read the weights of a model file too: the share of them that is zero becomes their density"
    command.add_argument("--read-weights", action="store_true", help=says)
    says = "tokens that a configuration of transformers reads (default 128)"
    command.add_argument("--sequence", type=int, metavar="N", help=says)
    says = "one token, after --sequence tokens whose keys and values are in the cache (transformers only)"
    command.add_argument("--decode", action="store_true", help=says)
    says = "BatchNorm as layers of its own, not folded (package.module:function, ONNX)"
    command.add_argument("--keep-batchnorm", action="store_true", help=says)
    says = "activations as layers of their own, not fused (package.module:function, ONNX)"
    command.add_argument("--keep-activations", action="store_true", help=says)


def read_given_model(options: argparse.Namespace) -> "LayerGraph":
    """The model, as it is before batch and bits."""
    from energysim.workload.read import read_model

    return read_model(options.model, compressed=options.compressed, **reading_of(options))


def reading_of(options: argparse.Namespace) -> dict[str, Any]:
    """How a model is to be read, in the words of `read_model`."""
    return {
        "fold_batchnorm": not options.keep_batchnorm,
        "fuse_activations": not options.keep_activations,
        "dims": dims_of(options.dim),
        "trips": options.trips,
        "read_weights": options.read_weights,
        "sequence": options.sequence,
        "decode": options.decode,
    }


def dims_of(given: Sequence[str]) -> dict[str, int]:
    """Sizes by name from texts like batch=1; raises InputError for a text that is not one, or a name given twice."""
    dims: dict[str, int] = {}
    for text in given:
        name, equals, size = text.rpartition("=")
        if not equals or not name or not size.isascii() or not size.isdigit() or len(size) > 10:
            raise InputError(f"--dim {text}: write NAME=SIZE, as in --dim batch=1")
        if name in dims:
            raise InputError(f"--dim {text}: '{name}' is given twice")
        dims[name] = int(size)
    return dims


def asked_of(options: argparse.Namespace) -> dict[str, Any]:
    """What restricts and changes the work of a search, and where its result is kept."""
    from energysim.mapping.constraints_yaml import read_constraints

    return {
        "dataflow": options.dataflow,
        "constraints": read_constraints(options.constraints) if options.constraints else (),
        "batch": options.batch,
        "bits": options.bits,
        "objective": options.objective,
        "time_budget_s": options.time_budget,
        "cache": cache_of(options),
        "uneven": options.uneven,
    }


def said_of(options: argparse.Namespace) -> tuple[str, str]:
    """How the model, and what it runs on, were given: ready to be typed again."""
    given = {"--on": options.on, "--batch": options.batch, "--bits": options.bits, "--dataflow": options.dataflow}
    given |= {"--constraints": options.constraints, "--objective": options.objective}
    given |= {"--compressed": options.compressed}
    usual = {"--batch": 1, "--bits": None, "--dataflow": "unconstrained", "--constraints": None, "--compressed": None}
    usual["--objective"] = "energy"
    rest = [f"{key} {shlex.quote(str(value))}" for key, value in given.items() if usual.get(key, key) != value]
    rest += [f"--dim {shlex.quote(each)}" for each in options.dim]
    rest += [] if options.trips is None else [f"--trips {options.trips}"]
    flags = {"--uneven": options.uneven, "--keep-batchnorm": options.keep_batchnorm}
    rest += [] if options.sequence is None else [f"--sequence {options.sequence}"]
    flags |= {"--read-weights": options.read_weights, "--decode": options.decode}
    rest += [flag for flag, on in (flags | {"--keep-activations": options.keep_activations}).items() if on]
    return shlex.quote(options.model), " ".join(rest)


def cache_of(options: argparse.Namespace) -> "SearchCache | None":
    """The user's cache, unless it is not wanted or the user has no home; what goes wrong with it is said once."""
    from energysim.mapping.search_cache import SearchCache
    from energysim.report.text import clean

    def warn(message: str) -> None:
        print(f"energysim: warning: {clean(message)}", file=sys.stderr)

    try:
        return None if options.no_cache else SearchCache(warn=warn)
    except OutputError as error:
        warn(str(error))
        return None


@contextmanager
def progress_bar(doing: str) -> "Iterator[Progress | None]":
    """A progress bar on standard error, if that is a terminal and the work is long; it vanishes at the end."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    bars = Bars(console=Console(stderr=True), transient=True)
    task = bars.add_task(doing, total=None)
    began = monotonic()

    def progress(done: int, total: int) -> None:
        if monotonic() - began > SHORT_S:
            bars.start()
        bars.update(task, completed=done, total=total)

    try:
        yield progress
    finally:
        bars.stop()
