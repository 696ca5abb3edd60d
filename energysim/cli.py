"""The command line: parse, call one function, print. Nothing heavy is imported before a command runs."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from energysim import __version__
from energysim.commands import add_compression_commands
from energysim.errors import EnergysimError, InputError, OutputError, nearest

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


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = Parser(
        prog="energysim",
        description="How much energy a neural network costs on an accelerator described in YAML, and why.",
        epilog="example: energysim estimate resnet50 --on eyeriss --bits 8",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"energysim {__version__}")
    commands = top.add_subparsers(metavar="command", required=True, parser_class=Parser)

    command = _command(
        commands,
        "estimate",
        estimate_command,
        "where the energy of a network goes, layer by layer",
        "energysim estimate resnet50 --on eyeriss --bits 8 --batch 4\n"
        "  energysim estimate lenet_caffe5 --on my_chip.yaml --format csv -o lenet.csv",
    )
    _add_work(command)
    command.add_argument("--format", choices=FORMATS, help="table, json or csv; by default what -o ends in, else table")
    command.add_argument(
        "-o", dest="output", metavar="FILE", help="write there, and beside it what is needed to run it again"
    )
    says = "processes that search layers at once (default 1); the answer does not depend on it"
    command.add_argument("--jobs", type=int, default=1, metavar="N", help=says)
    command.add_argument("--strict", action="store_true", help="refuse to use a price that no source is given for")

    command = _command(
        commands,
        "explain",
        explain_command,
        "why a layer costs what it costs: loop nest, and count x price = energy with sources",
        "energysim explain resnet50 conv1 --on eyeriss --bits 8",
    )
    _add_work(command, "layer")

    command = _command(
        commands,
        "map",
        map_command,
        "the mapping found for a layer, as a nest or a file; the price of a mapping of your own",
        "energysim map resnet50 conv1 --on eyeriss --bits 8 --format yaml -o mine.yaml\n"
        "  energysim map resnet50 conv1 --on eyeriss --bits 8 --mapping mine.yaml",
    )
    _add_work(command, "layer")
    command.add_argument("--format", choices=("nest", "yaml", "timeloop"), help="nest (default), yaml or timeloop")
    command.add_argument("-o", dest="output", metavar="FILE", help="write the mapping there")
    command.add_argument("--mapping", metavar="FILE", help="price this mapping (as --format yaml writes them)")
    says = "print every mapping that no other beats in both energy and latency"
    command.add_argument("--front", action="store_true", help=says)

    command = _command(
        commands,
        "cache",
        cache_command,
        "where search results are kept, how many and how large; remove them",
        "energysim cache\n  energysim cache clear",
    )
    inner = command.add_subparsers(metavar="command", parser_class=Parser)
    _command(inner, "clear", clear_command, "remove all search results that are kept", "energysim cache clear")

    example = "energysim models"
    _command(commands, "models", models_command, "the networks that ship with energysim", example)

    command = _command(
        commands,
        "accelerators",
        accelerators_command,
        "the accelerators that ship with energysim; whether a file describes one soundly",
        "energysim accelerators check my_chip.yaml",
    )
    inner = command.add_subparsers(metavar="command", parser_class=Parser)
    check = _command(
        inner,
        "check",
        check_command,
        "say whether an accelerator file is sound, and print its hierarchy",
        "energysim accelerators check my_chip.yaml",
    )
    check.add_argument("accelerator", metavar="FILE", help="an accelerator file, or a packaged name")

    command = _command(
        commands,
        "schema",
        schema_command,
        "a JSON Schema for editors, that completes and checks our YAML",
        "energysim schema accelerator > accelerator.schema.json",
    )
    kinds = ("accelerator", "constraints", "recipe")
    command.add_argument("kind", metavar="KIND", choices=kinds, help=", ".join(kinds))
    add_compression_commands(commands, _command)
    return top


def _command(commands: Any, name: str, run: Callable[..., None], says: str, example: str) -> argparse.ArgumentParser:
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


def _add_work(command: argparse.ArgumentParser, *more: str) -> None:
    """The arguments that say what runs where."""
    says = "a name (see `energysim models`), FILE.yaml, or package.module:function"
    command.add_argument("model", metavar="MODEL", help=says)
    for name in more:
        command.add_argument(name, metavar=name.upper(), help=f"name of a {name}")
    says = "a name (see `energysim accelerators`), or FILE.yaml"
    command.add_argument("--on", required=True, metavar="ACCELERATOR", help=says)
    command.add_argument("--batch", type=int, default=1, metavar="N", help="inputs at once (default 1)")
    says = "8, w4a8 (weights 4, activations 8), or a YAML file of bits and densities per layer (default: the model's)"
    command.add_argument("--bits", metavar="BITS", help=says)
    says = "a restriction of the mappings searched: row_stationary, ... (default unconstrained)"
    command.add_argument("--dataflow", default="unconstrained", metavar="NAME", help=says)
    command.add_argument("--constraints", metavar="FILE", help="a YAML file of restrictions by memory and array")
    says = "what mappings are chosen by: energy (default), latency, or edp, their product"
    command.add_argument("--objective", default="energy", metavar="NAME", help=says)
    command.add_argument("--uneven", action="store_true", help="a memory's tensors may lie at different nest depths")
    says = "seconds for all searches together; what is not proven by then is shown with its gap (default: no limit)"
    command.add_argument("--time-budget", type=float, metavar="SECONDS", help=says)
    says = "BatchNorm as layers of its own, not folded (package.module:function only)"
    command.add_argument("--keep-batchnorm", action="store_true", help=says)
    says = "activations as layers of their own, not fused (package.module:function only)"
    command.add_argument("--keep-activations", action="store_true", help=says)
    says = "search anew: neither read nor keep results on disk (see `energysim cache`)"
    command.add_argument("--no-cache", action="store_true", help=says)


def _read(options: argparse.Namespace) -> "LayerGraph":
    """The model, as it is before batch and bits."""
    from energysim.workload.read import read_model

    folded, fused = not options.keep_batchnorm, not options.keep_activations
    return read_model(options.model, fold_batchnorm=folded, fuse_activations=fused)


def estimate_command(options: argparse.Namespace) -> None:
    """Estimate a model and print or write the answer."""
    from energysim.estimate import estimate, refuse_defaults
    from energysim.hardware.read import read_accelerator
    from energysim.report.files import rendered, run_again
    from energysim.report.text import clean
    from energysim.report.write import check_writable, spare_inputs, write_together
    from energysim.workload.read import read_model

    if options.output:
        check_writable(options.output)
    accelerator = read_accelerator(options.on)
    model = _read(options)
    with progress_bar("mapping layers") as progress:
        result = estimate(
            model,
            accelerator,
            **_asked(options),
            progress=progress,
            jobs=options.jobs,
        )
    if options.strict:
        refuse_defaults(result)
    if options.output:
        graph = read_model(model, batch=options.batch, bits=options.bits)
        files = run_again(options.output, result, graph, accelerator, options.format)
        spare_inputs(files, (options.model, options.on, options.bits, options.constraints))
        write_together(files)
        print(f"wrote {', '.join(clean(str(path)) for path in files)}", file=sys.stderr)
    elif options.format in ("json", "csv"):
        sys.stdout.write(rendered(result, options.format))
    else:
        from energysim.report.show import show, width_of
        from energysim.report.tables import estimate_parts

        show(estimate_parts(result, _said(options), width_of(sys.stdout)), sys.stdout)


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """What restricts and changes the work of a search, and where its result is kept."""
    from energysim.mapping.constraints_yaml import read_constraints

    return {
        "dataflow": options.dataflow,
        "constraints": read_constraints(options.constraints) if options.constraints else (),
        "batch": options.batch,
        "bits": options.bits,
        "objective": options.objective,
        "time_budget_s": options.time_budget,
        "cache": _cache(options),
        "uneven": options.uneven,
    }


def _said(options: argparse.Namespace) -> tuple[str, str]:
    """How the model, and what it runs on, were given: ready to be typed again."""
    given = {"--on": options.on, "--batch": options.batch, "--bits": options.bits, "--dataflow": options.dataflow}
    given |= {"--constraints": options.constraints, "--objective": options.objective}
    usual = {"--batch": 1, "--bits": None, "--dataflow": "unconstrained", "--constraints": None}
    usual["--objective"] = "energy"
    rest = [f"{key} {shlex.quote(str(value))}" for key, value in given.items() if usual.get(key, key) != value]
    flags = {"--uneven": options.uneven, "--keep-batchnorm": options.keep_batchnorm}
    rest += [flag for flag, on in (flags | {"--keep-activations": options.keep_activations}).items() if on]
    return shlex.quote(options.model), " ".join(rest)


def explain_command(options: argparse.Namespace) -> None:
    """Explain one layer's energy."""
    from energysim.estimate import explain
    from energysim.hardware.read import read_accelerator
    from energysim.report.explain import explanation
    from energysim.report.show import show

    accelerator = read_accelerator(options.on)
    model = _read(options)
    asked = _asked(options)
    layer, row, entries = explain(model, options.layer, accelerator, **asked)
    chosen = asked["constraints"], options.objective, options.uneven
    show(explanation(layer, accelerator.accelerator, accelerator.table, row, entries, *chosen), sys.stdout)


def map_command(options: argparse.Namespace) -> None:
    """Print or write the mapping of one layer, or price the user's own."""
    from pathlib import Path

    from energysim.estimate import estimate_layer, search_layer
    from energysim.hardware.read import read_accelerator
    from energysim.mapping.dataflows import dataflow
    from energysim.mapping.mapping_yaml import read_mapping
    from energysim.report.mapped import front_parts, mapping_parts, mapping_text, own_estimate
    from energysim.report.show import plain, show
    from energysim.report.text import clean
    from energysim.report.write import check_writable, spare_inputs, write_together

    if options.output:
        check_writable(options.output)
    described = read_accelerator(options.on)
    accelerator = described.accelerator
    asked = _asked(options)
    if options.front:
        if options.mapping or options.format or options.output or options.uneven:
            raise InputError("--front prints a table; it goes with none of --mapping, --format, -o, --uneven")
        show(front_parts(_read(options), options.layer, described, asked), sys.stdout)
        return
    layer, found = search_layer(_read(options), options.layer, described, **asked)
    own = read_mapping(options.mapping, layer, accelerator) if options.mapping else None
    best, _ = estimate_layer(layer, described, found)
    row = own_estimate(layer, described, found, own) if own else best
    form = options.format or "nest"
    constraints = dataflow(options.dataflow, asked["constraints"])
    chosen = constraints, options.objective, options.uneven
    parts = mapping_parts(layer, accelerator, row, best if own else None, *chosen)
    text = plain(parts) if form == "nest" else mapping_text(layer, accelerator, row, form)
    if options.output:
        files = {Path(options.output): text}
        spare_inputs(files, (options.model, options.on, options.bits, options.constraints, options.mapping))
        write_together(files)
        print(f"wrote {clean(options.output)}", file=sys.stderr)
    elif form == "nest":
        show(parts, sys.stdout)
    else:
        sys.stdout.write(text)


def _cache(options: argparse.Namespace) -> "SearchCache | None":
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


def cache_command(options: argparse.Namespace) -> None:
    """Say where search results are kept, how many, how large."""
    from energysim.mapping.search_cache import SearchCache
    from energysim.report.text import clean

    cache = SearchCache()
    entries, size = cache.size()
    print(f"{clean(str(cache.folder))}: {entries:,} entries, {size:,} bytes")


def clear_command(options: argparse.Namespace) -> None:
    """Remove all search results that are kept."""
    from energysim.mapping.search_cache import SearchCache
    from energysim.report.text import clean

    cache = SearchCache()
    files, size = cache.clear()
    print(f"{clean(str(cache.folder))}: {files:,} files removed, {size:,} bytes")


def models_command(options: argparse.Namespace) -> None:
    """List the packaged networks."""
    from energysim.packaged import packaged
    from energysim.report.catalogue import models_table
    from energysim.report.show import show
    from energysim.workload.read import read_model

    show([models_table([read_model(name) for name in packaged("models")])], sys.stdout)


def accelerators_command(options: argparse.Namespace) -> None:
    """List the packaged accelerators."""
    from energysim.hardware.read import read_accelerator
    from energysim.packaged import packaged
    from energysim.report.catalogue import accelerators_table
    from energysim.report.show import show

    show([accelerators_table([read_accelerator(name) for name in packaged("hw_configs")])], sys.stdout)


def check_command(options: argparse.Namespace) -> None:
    """Check an accelerator file; its mistakes are the error."""
    from energysim.hardware.read import read_accelerator
    from energysim.report.catalogue import hierarchy_table
    from energysim.report.show import show
    from energysim.report.text import clean

    described = read_accelerator(options.accelerator)
    show([hierarchy_table(described)], sys.stdout)
    print(f"{clean(options.accelerator)}: sound; weakest price: {described.weakest_tier}")


def schema_command(options: argparse.Namespace) -> None:
    """Print a JSON Schema."""
    import json

    from energysim.clustering.recipe_read import recipe_schema
    from energysim.hardware.fields import accelerator_schema
    from energysim.mapping.constraints_yaml import constraints_schema

    schemas = {"accelerator": accelerator_schema, "constraints": constraints_schema, "recipe": recipe_schema}
    print(json.dumps(schemas[options.kind](), indent=2))


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 when done, 2 for what the user can mend (one line each), 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        if sys.stdout is None:
            raise OutputError("standard output is closed")
        options = parser().parse_args(arguments)
        options.run(options)
        sys.stdout.flush()
    except EnergysimError as error:
        from energysim.report.text import clean_lines

        for line in clean_lines(str(error)).splitlines():
            print(f"energysim: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nenergysim: interrupted; nothing was written", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _forget_output()
        return 141
    except OSError as error:
        _forget_output()
        print(f"energysim: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


def _forget_output() -> None:
    """What is still buffered goes nowhere, so that the interpreter does not complain once more when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
