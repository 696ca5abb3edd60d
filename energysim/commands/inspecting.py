"""The command that says what is in a model: inspect. Parse, call one function, print."""

import argparse
import sys
from typing import Any

from energysim.commands.options import add_reading, dims_of, new_command


def add_inspect_commands(commands: Any) -> None:
    """Add `inspect` to a parser's commands."""
    command = new_command(
        commands,
        "inspect",
        inspect_command,
        "what is in a model: layers by kind, MACs, parameters, bits, what was assumed and what is unknown",
        "energysim inspect model.onnx --dim batch=1 --read-weights\n"
        "  energysim inspect model.onnx --inputs data.npz --to yaml -o model.yaml",
    )
    says = "a name (see `energysim models`), a file (.yaml, .onnx, ...), or package.module:function"
    command.add_argument("model", metavar="MODEL", help=says)
    add_reading(command)
    says = "run the model once on these arrays (by input name) and measure which share of each tensor is zero"
    command.add_argument("--inputs", metavar="FILE.npz", help=says)
    command.add_argument("--to", choices=("yaml",), help="write the layer graph instead, densities included")
    command.add_argument("--format", choices=("table", "json"), default="table", help="table (default) or json")
    command.add_argument("-o", dest="output", metavar="FILE", help="write there")


def inspect_command(options: argparse.Namespace) -> None:
    """Say what is in a model, or write its layer graph."""
    from pathlib import Path

    from energysim.report.inspection import inspection_json, inspection_parts
    from energysim.report.show import plain, show
    from energysim.report.text import clean
    from energysim.report.write import check_writable, spare_inputs, write_together
    from energysim.workload.inspection import inspect_model
    from energysim.workload.yaml_format import to_yaml

    if options.output:
        check_writable(options.output)
    found = inspect_model(
        options.model,
        read_weights=options.read_weights,
        inputs=options.inputs,
        dims=dims_of(options.dim),
        trips=options.trips,
        fold_batchnorm=not options.keep_batchnorm,
        fuse_activations=not options.keep_activations,
    )
    if options.to is None and options.format == "table" and not options.output:
        show(inspection_parts(found), sys.stdout)
        return
    if options.to is not None:
        text = to_yaml(found.graph)
    else:
        text = inspection_json(found) if options.format == "json" else plain(inspection_parts(found))
    if options.output:
        files = {Path(options.output): text}
        spare_inputs(files, (options.model, options.inputs))
        write_together(files)
        print(f"wrote {clean(options.output)}", file=sys.stderr)
    else:
        sys.stdout.write(text)
