"""The commands about compressed models: compress, size, decompress. Parse, call one function, print."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energysim.commands.options import FORMATS, new_command, progress_bar
from energysim.errors import InputError, OutputError

if TYPE_CHECKING:
    from energysim.clustering.share import Progress
    from energysim.compressed.model import CompressedModel


def add_compression_commands(commands: Any) -> None:
    """Add `compress`, `size` and `decompress` to a parser's commands."""
    command = new_command(
        commands,
        "compress",
        compress_command,
        "share the weights of a network as a recipe says, report what that does, write the compressed file",
        "energysim compress models.efficientnet_lite0:pretrained --recipe dkm:4/4 -o lite0.safetensors\n"
        "  energysim compress state.pt --recipe recipe.yaml -o small.safetensors\n"
        "  energysim compress palettized.pt --recipe found -o small.safetensors",
    )
    says = "package.module:function (returns a torch module), or a checkpoint: .safetensors, .pt, .pth, .bin, .ckpt"
    command.add_argument("model", metavar="MODEL", help=says)
    says = (
        "dkm:BITS/DIM, dkm_fig4:cv=B/D,fc=B/D, dkm_table1:B/D, deepk:rate=0.1, rows:K=64, slices, filters, scalars, "
        "a YAML file (ours or of coremltools' palettizer), or found: weights that are shared already"
    )
    command.add_argument("--recipe", required=True, metavar="RECIPE", help=says)
    command.add_argument("-o", dest="output", metavar="FILE", help="write the compressed model there (safetensors)")
    command.add_argument("--format", choices=FORMATS, default="table", help="of the report (default table)")

    command = new_command(
        commands,
        "size",
        size_command,
        "how large a compressed file is, part by part and by each paper's convention",
        "energysim size small.safetensors --format json",
    )
    command.add_argument("file", metavar="FILE", help="a compressed model")
    command.add_argument("--format", choices=FORMATS, default="table", help="table (default), json or csv")

    command = new_command(
        commands,
        "decompress",
        decompress_command,
        "the whole tensors of a compressed file, as a safetensors state dict",
        "energysim decompress small.safetensors -o state.safetensors",
    )
    command.add_argument("file", metavar="FILE", help="a compressed model")
    command.add_argument("-o", dest="output", metavar="FILE", required=True, help="write the tensors there")


def compress_command(options: argparse.Namespace) -> None:
    """Share a model's weights after training; print the report, and write the file if one is named."""
    from energysim.compressed.file import write_compressed
    from energysim.report.compression import written

    _check_output(options.output, options.model, options.recipe)
    with progress_bar("sharing weights") as progress:
        model = _compressed(options.model, options.recipe, progress)
    _print(model, options.format)
    if options.output:
        print(written(options.output, write_compressed(options.output, model)), file=sys.stderr)


def _in_a_clone(name: str) -> str:
    """Where a packaged network's module is built, if the folder of the repository is at hand."""
    defined = Path("models") / f"{name}.py"
    return f" (models.{name}:build does, its weights at random)" if defined.is_file() else ""


def _compressed(reference: str, recipe: str, progress: "Progress | None") -> "CompressedModel":
    from energysim.packaged import packaged
    from energysim.workload.read import call_function, is_function, name_of

    if reference in packaged("models"):
        raise InputError(
            f"'{reference}' is a layer graph without weights; give package.module:function that returns a torch "
            f"module{_in_a_clone(reference)}, or a checkpoint file"
        )
    try:
        import torch
    except ImportError:
        raise InputError("compress needs PyTorch: pip install 'energysim[torch]'") from None
    from energysim.clustering.checkpoint import read_checkpoint
    from energysim.clustering.found import find_shared
    from energysim.clustering.share import share
    from energysim.clustering.weights import kinds_of, plain_state
    from energysim.workload.graph import clean_name

    model: Any
    if is_function(reference):
        made = call_function(reference)
        model = made[0] if isinstance(made, tuple) and made else made
        name = name_of(reference)
        if not isinstance(model, torch.nn.Module):
            raise InputError(f"{clean_name(reference)}: returned a {type(model).__name__}, not a torch module")
    else:
        model, name = read_checkpoint(reference), clean_name(Path(reference).stem)
    if recipe != "found":
        return share(model, recipe, name=name, progress=progress)
    if isinstance(model, torch.nn.Module):
        return find_shared(plain_state(model), name=name, kinds=kinds_of(model))
    return find_shared(model, name=name)


def size_command(options: argparse.Namespace) -> None:
    """Print the sizes of a compressed file."""
    from energysim.compressed.file import read_compressed

    _print(read_compressed(options.file), options.format)


def decompress_command(options: argparse.Namespace) -> None:
    """Write the whole tensors of a compressed file."""
    from energysim.compressed.file import read_compressed, write_state
    from energysim.report.compression import written

    _check_output(options.output, options.file)
    print(written(options.output, write_state(options.output, read_compressed(options.file).state())), file=sys.stderr)


def _print(model: "CompressedModel", form: str) -> None:
    from energysim.report.compression import compression_parts, rendered_compression
    from energysim.report.show import show

    if form == "table":
        show(compression_parts(model), sys.stdout)
    else:
        sys.stdout.write(rendered_compression(model, form))


def _check_output(output: str | None, *inputs: str) -> None:
    """Refuse, before any work, a file that cannot be written or that is read."""
    from energysim.report.text import clean
    from energysim.report.write import check_writable

    if output is None:
        return
    check_writable(output)
    for given in inputs:
        if os.path.isfile(given) and os.path.exists(output) and os.path.samefile(given, output):
            raise OutputError(f"{clean(output)}: would overwrite the input {clean(given)}; give -o another name")
