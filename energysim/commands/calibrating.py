"""The commands about measurements: references, calibrate, validate. Parse, call one function, print."""

import argparse
import sys
from typing import Any

from energysim.commands.options import Parser, new_command
from energysim.errors import InputError


def add_calibration_commands(commands: Any) -> None:
    """Add `references`, `calibrate` and `validate` to a parser's commands."""
    command = new_command(
        commands,
        "references",
        references_command,
        "the measurements and published numbers that ship with energysim; what each is and is not",
        "energysim references\n  energysim references show eyeriss_alexnet",
    )
    inner = command.add_subparsers(metavar="command", parser_class=Parser)
    show = new_command(
        inner, "show", show_command, "print a reference's card and data", "energysim references show eyeriss_alexnet"
    )
    show.add_argument("reference", metavar="NAME", help="a name (see `energysim references`)")

    command = new_command(
        commands,
        "calibrate",
        calibrate_command,
        "fit an accelerator's prices to measurements, with errors, intervals and what the data cannot say",
        "energysim calibrate --on eyeriss --reference eyeriss_alexnet -o calibration.yaml\n"
        "  energysim calibrate --on my_chip.yaml --reference measured.csv --exclude dram -o calibration.yaml",
    )
    command.add_argument("--on", required=True, metavar="ACCELERATOR", help="a name, or FILE.yaml")
    says = "a name (see `energysim references`), or a CSV of your own: model, layer, batch, bits, energy_mj, latency_ms"
    command.add_argument("--reference", required=True, metavar="NAME|FILE.csv", help=says)
    says = "at most so many fitted numbers (default 3)"
    command.add_argument("--max-coefficients", type=int, metavar="N", help=says)
    says = "a component whose energy the measured number does not hold; may be given again (files only)"
    command.add_argument("--exclude", action="append", default=[], metavar="COMPONENT", help=says)
    says = "restriction of the mappings that files are estimated with (default unconstrained)"
    command.add_argument("--dataflow", metavar="NAME", help=says)
    command.add_argument("--system", metavar="NAME", help="which system of a reference that has several")
    command.add_argument("-o", dest="output", metavar="FILE", help="write the calibration there (YAML)")
    command.add_argument("--no-cache", action="store_true", help="search mappings anew")

    command = new_command(
        commands,
        "validate",
        validate_command,
        "which metric tracks measured energy: MACs, full adders, DeepK's total, traffic, our estimate; with intervals",
        "energysim validate\n  energysim validate mlperf_tiny_energy --format json",
    )
    says = "eyeriss_alexnet, eyeriss_vgg16, mlperf_tiny_energy, yang17, eyeriss_isca16_fig10"
    says += " (default: all, and DeepK's design)"
    command.add_argument("reference", metavar="REFERENCE", nargs="*", help=says)
    command.add_argument("--format", choices=("table", "json"), default="table", help="table (default) or json")


def references_command(options: argparse.Namespace) -> None:
    """List the reference data."""
    from energysim.calibration.references import read_reference, reference_names
    from energysim.report.calibrated import references_table
    from energysim.report.show import show

    show([references_table([read_reference(name) for name in reference_names()])], sys.stdout)


def show_command(options: argparse.Namespace) -> None:
    """Print one reference."""
    from energysim.calibration.references import read_reference
    from energysim.report.calibrated import reference_parts
    from energysim.report.show import show

    show(reference_parts(read_reference(options.reference)), sys.stdout)


def calibrate_command(options: argparse.Namespace) -> None:
    """Fit prices; print what was fitted, write the file if one is named."""
    from energysim.calibration.file import to_text
    from energysim.calibration.fit import calibrate
    from energysim.calibration.gather import gathered
    from energysim.commands.options import cache_of
    from energysim.hardware.read import read_accelerator
    from energysim.report.calibrated import calibration_parts
    from energysim.report.show import show
    from energysim.report.text import clean
    from energysim.report.write import check_writable, spare_inputs, write_together

    check_installed()
    if options.output:
        check_writable(options.output)
    described = read_accelerator(options.on)
    found = gathered(
        options.reference,
        described,
        dataflow=options.dataflow,
        excluded=tuple(options.exclude),
        system=options.system,
        cache=cache_of(options),
    )
    calibration = calibrate(
        found.estimates,
        found.measurements.rows,
        described,
        max_coefficients=options.max_coefficients,
        excluded=found.excluded,
        dataflow=found.dataflow,
        bits=found.bits,
        time_model=found.time_model,
        data=found.measurements.name,
        data_sha256=found.measurements.sha256,
    )
    show(calibration_parts(calibration), sys.stdout)
    if options.output:
        from pathlib import Path

        files = {Path(options.output): to_text(calibration)}
        spare_inputs(files, (options.on, options.reference))
        write_together(files)
        print(f"wrote {clean(options.output)}", file=sys.stderr)


def validate_command(options: argparse.Namespace) -> None:
    """Compare metrics with measurements."""
    check_installed()
    from energysim.calibration.deepk_design import RATES, deepk_design
    from energysim.calibration.tiny_prices import summaries, tiny_fits
    from energysim.calibration.validation import TABLES, check_comparable, metric_tables
    from energysim.report.show import show
    from energysim.report.validated import (
        DESIGN_HEADS,
        PRICE_HEADS,
        design_rows,
        price_rows,
        section,
        table_sections,
    )

    for name in options.reference:
        check_comparable(name)
    names = list(dict.fromkeys(options.reference)) or list(TABLES)
    tables = [table for name in names for table in metric_tables(name)]
    if options.format == "json":
        import json

        plain = [table.to_plain() for table in tables]
        print(json.dumps(plain, indent=2, sort_keys=True, allow_nan=False))
        return
    for table in tables:
        for title, heads, rows in table_sections(table):
            show(section(f"{table.reference}: {title}", heads, rows), sys.stdout)
    if "mlperf_tiny_energy" in names:
        title = "prices fitted to the other networks of a submission, each predicted"
        show(section(title, PRICE_HEADS, price_rows(summaries(tiny_fits()))), sys.stdout)
    if not options.reference:
        designs = [deepk_design(network) for network in RATES]
        show(section("DeepK's design: R2 near 1 proves nothing", DESIGN_HEADS, design_rows(designs)), sys.stdout)


def check_installed() -> None:
    """Raise InputError when the numerics of calibration are not installed."""
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("scipy", "sklearn")):
        raise InputError("calibration needs SciPy and scikit-learn: pip install 'energysim[calibration]'")
