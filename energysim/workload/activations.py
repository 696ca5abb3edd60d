"""How many activations are zero: a model is run once on a user's arrays, and every tensor of its layers is counted."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from energysim.errors import InputError, ModelReadError, unknown
from energysim.workload.archive import Archive
from energysim.workload.from_onnx import ReadModel
from energysim.workload.graph import LayerGraph, clean_name
from energysim.workload.onnx_file import first_line, import_onnx, read_structure

if TYPE_CHECKING:
    import onnx

Arrays = Mapping[str, Any]
Densities = dict[str, dict[str, float]]


def read_arrays(path: str | Path) -> dict[str, Any]:
    """The arrays of a .npz file by name; nothing in it is unpickled. Raises InputError."""
    where = clean_name(str(path))
    with Archive(path):
        pass  # its sizes are within budgets
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise InputError(f"{where}: not arrays in a .npz file: {first_line(error)}") from None


def dims_of_arrays(path: str | Path, arrays: Arrays) -> dict[str, int]:
    """Sizes of the symbolic dims of an ONNX model's inputs, as the arrays have them."""
    found: dict[str, int] = {}
    graph = read_structure(Path(path)).graph
    stored = {tensor.name for tensor in graph.initializer}
    for name in arrays:
        if name not in {each.name for each in graph.input} - stored:
            raise unknown(f"input of {clean_name(str(path))}", name, {each.name for each in graph.input} - stored)
    for given in graph.input:
        if given.name not in arrays or not given.type.HasField("tensor_type"):
            continue
        for place, (dim, size) in enumerate(
            zip(given.type.tensor_type.shape.dim, arrays[given.name].shape, strict=False)
        ):
            if not (dim.HasField("dim_value") and dim.dim_value):
                found.setdefault(dim.dim_param or f"{given.name}.{place}", int(size))
    return found


def share_nonzero(value: Any) -> float:
    """Share of the elements of an array that are not zero."""
    return float(np.count_nonzero(value) / value.size) if value.size else 1.0


def onnx_densities(read: ReadModel, arrays: Arrays) -> Densities:
    """By layer and tensor, the share of activations that is not zero in one run on the arrays.

    ONNX Runtime runs the model if it is installed, else the reference of the `onnx` package. Raises ModelReadError.
    """
    where = clean_name(str(read.path))
    package = import_onnx()
    model: onnx.ModelProto = package.load(str(read.path), load_external_data=False)
    if any(tensor.data_location == package.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ModelReadError(f"{where}: has its weights in other files; put them inside to run it")
    stored = {tensor.name for tensor in model.graph.initializer}
    wanted = [each.name for each in model.graph.input if each.name not in stored]
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise InputError(f"{where}: no array for input '{clean_name(missing[0])}' of the model")
    made = {name for node in model.graph.node for name in node.output if name}
    asked = {name for tensors in read.operands.values() for name in tensors.values()} | set(read.results.values())
    names = sorted(asked & made)
    del model.graph.output[:]
    model.graph.output.extend(package.ValueInfoProto(name=name) for name in names)
    try:
        found = dict(zip(names, _run(model, arrays), strict=True))
    except Exception as error:  # whatever a runtime says of a model or of arrays that do not fit it
        raise ModelReadError(f"{where}: cannot be run on these inputs: {first_line(error)}") from None
    shares = {name: share_nonzero(np.asarray(value)) for name, value in {**found, **arrays}.items()}
    densities: Densities = {}
    for layer in read.graph.layers:
        names_by_tensor = {**read.operands.get(layer.name, {}), "output": read.results.get(layer.name, "")}
        densities[layer.name] = {key: shares[name] for key, name in names_by_tensor.items() if name in shares}
    return densities


def _run(model: "onnx.ModelProto", arrays: Arrays) -> Sequence[Any]:
    with suppress(ImportError):
        import onnxruntime

        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        results: Sequence[Any] = session.run(None, dict(arrays))
        return results
    from onnx.reference import ReferenceEvaluator

    with np.errstate(all="ignore"):
        return list(ReferenceEvaluator(model).run(None, dict(arrays)))


def torch_densities(module: Any, example: Any, graph: LayerGraph, arrays: Arrays) -> Densities:
    """The same of a torch module, for the layers that are modules of it; the arrays are its inputs in order."""
    import torch

    inputs = tuple(torch.from_numpy(np.ascontiguousarray(value)) for value in arrays.values())
    count = 1 if isinstance(example, torch.Tensor) else len(example)
    if len(inputs) != count:
        raise InputError(f"model '{graph.name}': has {count} inputs; the file has {len(inputs)} arrays")
    modules = dict(module.named_modules())
    shares: Densities = {}
    hooks = []
    for layer in graph.layers:
        names = {name for name in (layer.name, *layer.fused) if name in modules}
        for name in names:
            hooks.append(modules[name].register_forward_hook(_counted(shares.setdefault(name, {}))))
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(*inputs)
    except Exception as error:  # the user's own code on the user's own arrays
        raise ModelReadError(f"model '{graph.name}': cannot be run on these inputs: {first_line(error)}") from None
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    densities: Densities = {}
    for layer in graph.layers:
        ran = [name for name in (layer.name, *layer.fused) if name in shares]
        found = {key: value for key, value in shares.get(layer.name, {}).items() if key == "input"}
        if ran:
            found["output"] = shares[ran[-1]]["output"]
        known = {tensor.name for tensor in layer.tensors}
        densities[layer.name] = {key: value for key, value in found.items() if key in known}
    return densities


def _counted(shares: dict[str, float]) -> Any:
    def hook(module: Any, given: Any, result: Any) -> None:
        if hasattr(result, "numpy") and given and hasattr(given[0], "numpy"):
            shares["input"] = share_nonzero(given[0].numpy())
            shares["output"] = share_nonzero(result.numpy())

    return hook
