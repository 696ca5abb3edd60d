"""The command about the papers' metrics: metrics. Parse, call one function, print."""

import argparse
import sys
from typing import Any

from energysim.commands.options import add_reading, new_command, reading_of
from energysim.errors import InputError


def add_metrics_commands(commands: Any) -> None:
    """Add `metrics` to a parser's commands."""
    command = new_command(
        commands,
        "metrics",
        metrics_command,
        "full adders, representational costs and sizes as the papers count them, without an accelerator",
        "energysim metrics resnet50 --bits 8\n  energysim metrics alexnet --rate 0.1 --ignore-indices --format json",
    )
    command.add_argument("model", metavar="MODEL", help="a name (see `energysim models`), a file, or module:function")
    command.add_argument("--bits", metavar="BITS", help="8, w4a8, or a YAML file of bits and densities per layer")
    command.add_argument("--batch", type=int, default=1, metavar="N", help="inputs at once (default 1)")
    says = "a compressed file of the model (see `energysim compress`): full adders are then exact, from its indices"
    command.add_argument("--compressed", metavar="FILE", help=says)
    says = "share the weights of convolutions: K centroids for each of N samples, K / N = R"
    command.add_argument("--rate", type=float, metavar="R", help=says)
    command.add_argument("--first-rate", type=float, metavar="R", help="another rate for the first convolution")
    says = "what a sample is: row (default), scalar, slice, filter, vector:4"
    command.add_argument("--granularity", metavar="KIND", help=says)
    says = "prune the weights of convolutions to this share of non-zeros"
    command.add_argument("--density", type=float, metavar="D", help=says)
    command.add_argument("--ignore-indices", action="store_true", help="do not count index bits, as DeepK does")
    command.add_argument("--bias", action="store_true", help="count a bias as one more input, as Sakr17 does")
    add_reading(command)
    command.add_argument("--format", choices=("table", "json"), default="table", help="table (default) or json")


def metrics_command(options: argparse.Namespace) -> None:
    """Print the metrics of a model."""
    from energysim.costs.metrics import metrics
    from energysim.granularity import parse_granularity
    from energysim.report.metrics import metrics_json, metrics_parts
    from energysim.report.show import show
    from energysim.workload.planned import CONVOLUTIONS, ROW, planned_sharing
    from energysim.workload.precision import with_density
    from energysim.workload.read import read_model

    if options.rate is not None and options.compressed:
        raise InputError("--rate plans a sharing of weights, --compressed has one: give one of them")
    graph = read_model(
        options.model, batch=options.batch, bits=options.bits, compressed=options.compressed, **reading_of(options)
    )
    if options.density is not None:
        if not 0.0 <= options.density <= 1.0:
            raise InputError(f"density {options.density:g} is not in 0..1")
        pruned = [layer.name for layer in graph.layers if layer.op in CONVOLUTIONS]
        graph = with_density(graph, {name: {"weight": options.density} for name in pruned})
    if options.rate is not None:
        granularity = parse_granularity(options.granularity) if options.granularity else ROW
        graph = planned_sharing(graph, options.rate, granularity, first_rate=options.first_rate)
    elif options.granularity or options.first_rate is not None:
        raise InputError("--granularity and --first-rate say how weights are to be shared: give --rate too")
    found = metrics(graph, count_indices=not options.ignore_indices, bias=options.bias)
    names = ("compressed", "bits", "batch", "rate", "first_rate", "granularity", "density", "ignore_indices", "bias")
    if options.format == "json":
        sys.stdout.write(metrics_json(found, {name: getattr(options, name) for name in names}))
        return
    usual = {"batch": 1}
    given = {name: getattr(options, name) for name in names[:-2]}
    words = [f"{name.replace('_', ' ')} {value}" for name, value in given.items() if value != usual.get(name)]
    words += ["indices not counted"] * options.ignore_indices + ["with biases"] * options.bias
    show(metrics_parts(found, f": {', '.join(words)}" if words else ""), sys.stdout)
