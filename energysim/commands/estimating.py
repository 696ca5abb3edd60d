"""The commands that place a model on an accelerator: estimate, explain, map."""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from energysim.commands.options import (
    FORMATS,
    add_work,
    asked_of,
    new_command,
    progress_bar,
    read_given_model,
    said_of,
)
from energysim.errors import InputError

if TYPE_CHECKING:
    from energysim.calibration.apply import CalibratedEstimate
    from energysim.hardware.read import DescribedAccelerator


def add_estimate_commands(commands: Any) -> None:
    """Add `estimate`, `explain` and `map` to a parser's commands."""
    command = new_command(
        commands,
        "estimate",
        estimate_command,
        "where the energy of a network goes, layer by layer",
        "energysim estimate resnet50 --on eyeriss --bits 8 --batch 4\n"
        "  energysim estimate lenet_caffe5 --on my_chip.yaml --format csv -o lenet.csv",
    )
    add_work(command)
    command.add_argument("--format", choices=FORMATS, help="table, json or csv; by default what -o ends in, else table")
    command.add_argument(
        "-o", dest="output", metavar="FILE", help="write there, and beside it what is needed to run it again"
    )
    says = "processes that search layers at once (default 1); the answer does not depend on it"
    command.add_argument("--jobs", type=int, default=1, metavar="N", help=says)
    says = "price the counts by a file that `energysim calibrate` wrote: energy with its interval"
    command.add_argument("--calibration", metavar="FILE", help=says)
    command.add_argument("--strict", action="store_true", help="refuse to use a price that no source is given for")

    command = new_command(
        commands,
        "explain",
        explain_command,
        "why a layer costs what it costs: loop nest, and count x price = energy with sources",
        "energysim explain resnet50 conv1 --on eyeriss --bits 8",
    )
    add_work(command, "layer")

    command = new_command(
        commands,
        "map",
        map_command,
        "the mapping found for a layer, as a nest or a file; the price of a mapping of your own",
        "energysim map resnet50 conv1 --on eyeriss --bits 8 --format yaml -o mine.yaml\n"
        "  energysim map resnet50 conv1 --on eyeriss --bits 8 --mapping mine.yaml",
    )
    add_work(command, "layer")
    command.add_argument("--format", choices=("nest", "yaml", "timeloop"), help="nest (default), yaml or timeloop")
    command.add_argument("-o", dest="output", metavar="FILE", help="write the mapping there")
    command.add_argument("--mapping", metavar="FILE", help="price this mapping (as --format yaml writes them)")
    says = "print every mapping that no other beats in both energy and latency"
    command.add_argument("--front", action="store_true", help=says)


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
    priced, calibrate = calibrated_accelerator(accelerator, options.calibration)
    model = read_given_model(options)
    with progress_bar("mapping layers") as progress:
        result = estimate(
            model,
            priced,
            **asked_of(options),
            progress=progress,
            jobs=options.jobs,
        )
    if options.strict:
        refuse_defaults(result)
    graph = read_model(model, batch=options.batch, bits=options.bits)
    calibrated = None if calibrate is None else calibrate(result, graph)
    if options.output:
        files = run_again(options.output, result, graph, accelerator, options.format, calibrated, options.compressed)
        given = (options.model, options.on, options.bits, options.constraints, options.calibration, options.compressed)
        spare_inputs(files, given)
        write_together(files)
        print(f"wrote {', '.join(clean(str(path)) for path in files)}", file=sys.stderr)
    elif options.format in ("json", "csv"):
        sys.stdout.write(rendered(result, options.format, calibrated))
    else:
        from energysim.report.show import show, width_of
        from energysim.report.tables import estimate_parts

        show(estimate_parts(result, said_of(options), width_of(sys.stdout)), sys.stdout)
        if calibrated is not None:
            from energysim.report.calibrated import calibrated_parts

            print()
            show(calibrated_parts(calibrated), sys.stdout)


def calibrated_accelerator(
    accelerator: "DescribedAccelerator", path: str | None
) -> "tuple[DescribedAccelerator, Callable[..., CalibratedEstimate] | None]":
    """The accelerator at the prices of a calibration file, and what gives an estimate on it its intervals."""
    if path is None:
        return accelerator, None
    from dataclasses import replace
    from functools import partial

    from energysim.calibration.apply import apply_calibration, check_components
    from energysim.calibration.file import read_calibration
    from energysim.commands.calibrating import check_installed

    check_installed()
    calibration, warnings = read_calibration(path)
    check_components(calibration, accelerator)
    priced = replace(accelerator, table=calibration.table(accelerator))
    return priced, partial(apply_calibration, described=accelerator, calibration=calibration, warnings=warnings)


def explain_command(options: argparse.Namespace) -> None:
    """Explain one layer's energy."""
    from energysim.estimate import explain
    from energysim.hardware.read import read_accelerator
    from energysim.report.explain import explanation
    from energysim.report.show import show

    accelerator = read_accelerator(options.on)
    model = read_given_model(options)
    asked = asked_of(options)
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
    asked = asked_of(options)
    if options.front:
        if options.mapping or options.format or options.output:
            raise InputError("--front prints a table; it goes with none of --mapping, --format, -o")
        show(front_parts(read_given_model(options), options.layer, described, asked), sys.stdout)
        return
    layer, found = search_layer(read_given_model(options), options.layer, described, **asked)
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
        spare_inputs(
            files, (options.model, options.on, options.bits, options.constraints, options.mapping, options.compressed)
        )
        write_together(files)
        print(f"wrote {clean(options.output)}", file=sys.stderr)
    elif form == "nest":
        show(parts, sys.stdout)
    else:
        sys.stdout.write(text)
