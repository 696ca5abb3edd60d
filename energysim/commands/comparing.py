"""The command that puts estimates side by side: compare. Parse, call one function, print."""

import argparse
import sys
from typing import Any

from energysim.commands.options import FORMATS, SAYS_BITS, add_search, asked_of, new_command, progress_bar, reading_of


def add_compare_commands(commands: Any) -> None:
    """Add `compare` to a parser's commands."""
    command = new_command(
        commands,
        "compare",
        compare_command,
        "every model at every compression and bits on every accelerator, in one table",
        "energysim compare resnet50 mobilenet_v2 --on eyeriss simba --bits 8 w4a8\n"
        "  energysim compare resnet50 --on eyeriss_storage eyeriss_products --compression dense small.safetensors\n"
        "  energysim compare alexnet --on eyeriss --bits 16 8 4 -o bits.csv --picture bits.png",
    )
    says = "as for estimate, or MODEL+FILE.safetensors, a model so compressed; one or more, before the options"
    command.add_argument("models", metavar="MODEL", nargs="+", help=says)
    says = "a name (see `energysim accelerators`), or FILE.yaml; one or more"
    command.add_argument("--on", required=True, nargs="+", metavar="ACCELERATOR", help=says)
    command.add_argument("--bits", nargs="+", metavar="BITS", help=f"one or more of: {SAYS_BITS}")
    says = "one or more of: dense (default), a compressed file of the model, rate=0.1 (rows of convolutions, planned)"
    command.add_argument("--compression", nargs="+", metavar="WAY", help=says)
    add_search(command)
    says = "of the rows: energy (default), latency, edp, size, or given, the order in which they were asked for"
    command.add_argument("--sort", default="energy", metavar="ORDER", help=says)
    command.add_argument("--format", choices=FORMATS, help="table, json or csv; by default what -o ends in, else table")
    command.add_argument("-o", dest="output", metavar="FILE", help="write the table there")
    says = "draw the comparison there: .png, .svg or .html (needs matplotlib)"
    command.add_argument("--picture", metavar="FILE", help=says)
    says = "what the picture shows: components (default), layers, roofline, rate (energy against cluster rate)"
    command.add_argument("--show", default="components", metavar="KIND", help=says)
    says = "processes that search layers at once (default 1); the answer does not depend on it"
    command.add_argument("--jobs", type=int, default=1, metavar="N", help=says)


def compare_command(options: argparse.Namespace) -> None:
    """Compare and print or write the table."""
    from pathlib import Path

    from energysim.errors import OutputError, unknown
    from energysim.explore.compare import ORDERS, compared
    from energysim.report.compared import comparison_parts, rendered_comparison
    from energysim.report.files import SUFFIXES
    from energysim.report.pictures import check_picture, picture
    from energysim.report.show import show
    from energysim.report.text import clean
    from energysim.report.write import check_writable, spare_inputs, write_together

    if options.sort not in ORDERS:
        raise unknown("order", options.sort, ORDERS)
    if options.output:
        check_writable(options.output)
    if options.picture:
        check_picture(options.picture, options.show)
        check_writable(options.picture)
        if options.output and Path(options.output).resolve() == Path(options.picture).resolve():
            raise OutputError(f"{clean(options.picture)}: -o and --picture name the same file")
    asked = asked_of(options)
    asked["bits"] = options.bits
    with progress_bar("estimating combinations") as progress:
        found = compared(
            options.models,
            options.on,
            compression=options.compression,
            progress=progress,
            reading=reading_of(options),
            jobs=options.jobs,
            **asked,
        )
    form = options.format or SUFFIXES.get(Path(options.output or "").suffix.lower(), "table")
    files: dict[Path, str | bytes] = {}
    if options.output:
        files[Path(options.output)] = rendered_comparison(found, form, options.sort)
    if options.picture:
        table = rendered_comparison(found, "table", options.sort)
        files[Path(options.picture)] = picture(found, options.picture, options.show, table)
    if files:
        spare_inputs(
            files,
            [*options.models, *options.on, *(options.bits or ()), *(options.compression or ()), options.constraints],
        )
        write_together(files)
        print(f"wrote {', '.join(clean(str(path)) for path in files)}", file=sys.stderr)
    if options.output:
        return
    if form == "table":
        show(comparison_parts(found, options.sort), sys.stdout)
    else:
        sys.stdout.write(rendered_comparison(found, form, options.sort))
