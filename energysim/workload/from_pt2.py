"""From a .pt2 file, or an exported program, to a layer graph: read as a zip archive of JSON, nothing is unpickled."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING

from energysim.errors import InputError, ModelReadError
from energysim.workload.archive import Archive
from energysim.workload.exported_graph import GraphBuilder, described, leaves
from energysim.workload.from_torch import quietly, read_program
from energysim.workload.graph import LayerGraph, clean_name

if TYPE_CHECKING:
    from torch.export import ExportedProgram

NO_DIMS: Mapping[str, int] = MappingProxyType({})
LARGEST_JSON = 64 << 20
SCHEMA = 8
"""The major version of the format that torch 2.5 and newer write."""
FAULTS = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, RecursionError, StopIteration)


def from_pt2(
    path: str | Path,
    *,
    name: str | None = None,
    dims: Mapping[str, int] = NO_DIMS,
    fold_batchnorm: bool = True,
    fuse_activations: bool = True,
) -> LayerGraph:
    """The layer graph of an ExportedProgram saved by torch.export.save; weights stay in the file.

    `dims` gives sizes that were exported as dynamic, by input and axis ("x.0") or by symbol ("s0"). Raises InputError
    for dims that stay open, ModelReadError for what is not such a file.
    """
    path, where = Path(path), clean_name(str(path))
    with Archive(path) as archive:
        found = [member for member in archive.members if member.endswith(".json") and "/models/" in f"/{member}"]
        if "serialized_exported_program.json" in archive.members:  # torch before 2.7
            found = ["serialized_exported_program.json"]
        if len(found) != 1:
            raise ModelReadError(f"{where}: holds {len(found)} exported programs; one is read")
        if archive.members[found[0]] > LARGEST_JSON:
            raise ModelReadError(f"{where}: its program is larger than {LARGEST_JSON >> 20} MiB")
        text = archive.read(found[0])
    try:
        fields = json.loads(text)
        version = fields["schema_version"]["major"]
        if version != SCHEMA:
            raise ModelReadError(f"is of version {clean_name(str(version))} of the format; {SCHEMA} is read")
        builder = GraphBuilder(fields, dims)
        with quietly():
            program = builder.build()
            label = clean_name(name or path.stem)
            whole = leaves(program.graph)
            return read_program(
                program,
                label,
                whole.__contains__,
                {},
                fold_batchnorm=fold_batchnorm,
                fuse_activations=fuse_activations,
            )
    except InputError as error:
        kind = type(error)
        raise kind(f"{where}: {error}") from None
    except FAULTS as error:
        raise ModelReadError(f"{where}: {described(error)}") from None


def from_program(
    program: "ExportedProgram",
    *,
    name: str,
    dims: Mapping[str, int] = NO_DIMS,
    fold_batchnorm: bool = True,
    fuse_activations: bool = True,
) -> LayerGraph:
    """The layer graph of an ExportedProgram in memory, through the file that torch.export.save makes of it."""
    import torch

    options = {"fold_batchnorm": fold_batchnorm, "fuse_activations": fuse_activations}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "program.pt2"
        with quietly():
            saved = io.BytesIO()
            torch.export.save(program, saved)
        path.write_bytes(saved.getvalue())
        try:
            return from_pt2(path, name=name, dims=dims, **options)
        except InputError as error:
            raise type(error)(str(error).replace(clean_name(str(path)), f"model '{clean_name(name)}'")) from None
