"""The command line: parse, call one function, print. Nothing heavy is imported before a command runs."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper

from energysim import __version__
from energysim.commands.calibrating import add_calibration_commands
from energysim.commands.catalogue import add_catalogue_commands
from energysim.commands.comparing import add_compare_commands
from energysim.commands.compression import add_compression_commands
from energysim.commands.estimating import add_estimate_commands
from energysim.commands.inspecting import add_inspect_commands
from energysim.commands.metrics import add_metrics_commands
from energysim.commands.options import Parser
from energysim.commands.sweeping import add_sweep_commands
from energysim.errors import EnergysimError, OutputError

COMMANDS = (
    add_estimate_commands,
    add_compare_commands,
    add_sweep_commands,
    add_inspect_commands,
    add_metrics_commands,
    add_compression_commands,
    add_calibration_commands,
    add_catalogue_commands,
)
"""Each adds its commands to the parser, in the order of `energysim --help`."""


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

    for add_commands in COMMANDS:
        add_commands(commands)
    return top


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
