"""The command that tries variants of an accelerator: sweep. Parse, call one function, print."""

import argparse
import sys
from typing import Any

from energysim.commands.options import FORMATS, add_work, asked_of, new_command, progress_bar, read_given_model
from energysim.errors import InputError


def add_sweep_commands(commands: Any) -> None:
    """Add `sweep` to a parser's commands."""
    command = new_command(
        commands,
        "sweep",
        sweep_command,
        "one model on every variant of an accelerator: other capacities, arrays, prices",
        "energysim sweep resnet50 --on eyeriss --vary global_buffer.capacity_bits=x0.5,x1,x2 --vary pe.x=8,14,28\n"
        "  energysim sweep mobilenet_v2 --on eyeriss --vary spad.energy.read.pj=x0.5,x1 --vary clock_hz=1e8 -o all.csv",
    )
    add_work(command)
    says = (
        "numbers or factors for one number of the accelerator's file, by the names of its level and fields; repeatable"
    )
    command.add_argument("--vary", required=True, action="append", metavar="PATH=VALUE,...", help=says)
    command.add_argument("--sort", default="energy", metavar="ORDER", help="energy (default), latency, edp, or given")
    command.add_argument("--top", type=int, default=20, metavar="N", help="rows of the table (default 20)")
    command.add_argument("--format", choices=FORMATS, help="table, json or csv; by default what -o ends in, else table")
    command.add_argument("-o", dest="output", metavar="FILE", help="write all variants there")
    says = "processes that search layers at once (default 1); the answer does not depend on it"
    command.add_argument("--jobs", type=int, default=1, metavar="N", help=says)


def sweep_command(options: argparse.Namespace) -> None:
    """Sweep and print or write the table."""
    from pathlib import Path

    from energysim.errors import unknown
    from energysim.explore.sweep import SORTS, sweep
    from energysim.hardware.read import read_accelerator
    from energysim.hardware.vary import parse_changes
    from energysim.report.files import SUFFIXES
    from energysim.report.show import show
    from energysim.report.swept import rendered_sweep, sweep_parts
    from energysim.report.text import clean
    from energysim.report.write import check_writable, spare_inputs, write_together

    if options.sort not in SORTS:
        raise unknown("order", options.sort, SORTS)
    if options.top < 1:
        raise InputError(f"--top is {options.top}; it must be at least 1")
    if options.time_budget is not None:
        raise InputError("--time-budget goes with one accelerator at a time; sweep shares proofs between variants")
    if options.output:
        check_writable(options.output)
    vary = dict[str, Any]()
    for path, changes in map(parse_changes, options.vary):
        if path in vary:
            raise InputError(f"--vary {path}: '{path}' is given twice")
        vary[path] = changes
    accelerator = read_accelerator(options.on)
    asked = asked_of(options)
    del asked["time_budget_s"], asked["cache"]
    with progress_bar("mapping layers") as progress:
        found = sweep(read_given_model(options), accelerator, vary, jobs=options.jobs, progress=progress, **asked)
    form = options.format or SUFFIXES.get(Path(options.output or "").suffix.lower(), "table")
    if options.output:
        files: dict[Path, str | bytes] = {Path(options.output): rendered_sweep(found, form, options.sort)}
        given = (options.model, options.on, options.bits, options.constraints, options.compressed)
        spare_inputs(files, given)
        write_together(files)
        print(f"wrote {clean(options.output)}", file=sys.stderr)
    elif form == "table":
        show(sweep_parts(found, options.sort, options.top), sys.stdout)
    else:
        sys.stdout.write(rendered_sweep(found, form, options.sort))
