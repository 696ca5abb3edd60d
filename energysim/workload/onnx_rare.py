"""ONNX operations that few networks have: sampling, sorting, transforms, losses, trees and support vectors."""

from collections import Counter
from dataclasses import replace
from math import ceil, log2, prod

from energysim.workload.layer import Layer
from energysim.workload.onnx_operations import OnnxCall, house_name
from energysim.workload.operations import linear, traffic
from energysim.workload.several import interpolation, movement


def resize(call: OnnxCall) -> Layer | None:
    """A weighted sum of 2 (linear) or 4 (cubic) neighbours an axis; nearest: data that move."""
    source, mode = call.operand(0), str(call.attributes.get("mode", "nearest"))
    taps, result = {"linear": 2, "cubic": 4}.get(mode, 1), call.results[0]
    if source.shape[:2] == result[:2] and (
        layer := interpolation(call.name, "interpolate", source.shape, result, taps)
    ):
        return layer
    axes = sum(a != b for a, b in zip(source.shape, result, strict=True))
    if taps == 1:
        return movement(call.name, "interpolate", [result], [source])
    return _for_results(traffic(call.name, "interpolate", [result], [source]), call, 2 * taps**axes - 1)


def _for_results(layer: Layer, call: OnnxCall, ops: int) -> Layer:
    """That many operations for each element of the first result, whatever a layer's points are."""
    return replace(layer, ops_per_point=max(1, ceil(ops * prod(call.results[0]) / layer.points)))


def sampled(call: OnnxCall) -> Layer:
    """8 operations for each element where it is interpolated, 1 where the mode is nearest or maximum."""
    first = call.operand(0)
    ratio = int(call.attributes.get("sampling_ratio", 1)) or 1
    plain = "nearest" in str(call.attributes.get("mode", "")) or call.op == "MaxRoiPool"
    layer = traffic(call.name, house_name(call.op), call.results[:1], [first, *call.operands[1:]])
    return _for_results(layer, call, 1 if plain else 8 * ratio**2)


def top_k(call: OnnxCall) -> Layer:
    """A comparison with the least of the k for each element read, and log2 k more to keep them in order."""
    axis, shape = call.attributes.get("axis", -1), call.operand(0).shape
    kept = max(1, call.results[0][axis])
    layer = traffic(call.name, house_name(call.op), call.results, [call.operand(0)])
    return replace(layer, ops_per_point=max(1, ceil(prod(shape) * (1 + ceil(log2(kept))) / layer.points)))


def fourier(call: OnnxCall) -> Layer:
    """5 log2 n operations for each complex number of a transform of n points."""
    length = call.known(2 if call.op == "STFT" else 1)
    if call.op == "STFT":
        window = call.optional(2)
        points = window.shape[0] if window is not None else int(call.known(3) or 2)
    else:
        axis = call.known(2, "axis", 1)
        points = int(length) if isinstance(length, int) else call.operand(0).shape[int(axis)]
    layer = traffic(call.name, house_name(call.op), call.results[:1], [call.operand(0)])
    return _for_results(layer, call, max(1, ceil(5 * log2(max(2, points)) / 2)))


def determinant(call: OnnxCall) -> Layer:
    """2 n^3 / 3 operations for each n x n matrix (elimination)."""
    size = call.operand(0).shape[-1]
    layer = traffic(call.name, "determinant", [shape or (1,) for shape in call.results], [call.operand(0)])
    total = prod(call.operand(0).shape[:-2]) * ceil(2 * size**3 / 3)
    return replace(layer, ops_per_point=max(1, ceil(total / layer.points)))


def suppression(call: OnnxCall) -> Layer:
    """An intersection over union (14 operations) of every box with every box that is kept, at most."""
    boxes, scores = call.operand(0), call.operand(1)
    kept = int(max(1, (call.known(2) or [0])[0] if isinstance(call.known(2), list) else call.known(2) or 1))
    layer = traffic(
        call.name, house_name(call.op), [shape for shape in call.results if prod(shape)] or [(1,)], [boxes, scores]
    )
    total = 14 * scores.elements * min(kept, boxes.shape[1])
    return replace(layer, ops_per_point=max(1, ceil(total / layer.points)))


def supports(call: OnnxCall) -> Layer:
    """MACs: samples x features x support vectors, or classes."""
    count, features = _samples(call)
    vectors = len(call.attributes.get("support_vectors", ())) // max(1, features)
    weights = vectors or len(call.attributes.get("coefficients", ())) // max(1, features) or 1
    return linear(call.name, n=count, m=weights, c=features)


def _samples(call: OnnxCall) -> tuple[int, int]:
    shape = call.operand(0).shape
    return (1, prod(shape)) if len(shape) < 2 else (shape[0], prod(shape[1:]))


def trees(call: OnnxCall) -> Layer:
    """A comparison at each level of each tree, taken as balanced, for each sample."""
    trees = list(call.attributes.get("nodes_treeids", ()) or call.attributes.get("tree_roots", ()))
    if "tree_roots" in call.attributes:
        sizes = [len(call.attributes.get("nodes_splits", (0,))) / max(1, len(trees))] * len(trees)
    else:
        sizes = [float(count) for count in Counter(trees).values()]
    total = _samples(call)[0] * sum(ceil(log2(size + 1)) for size in sizes)
    layer = traffic(
        call.name, "tree_ensemble", [shape for shape in call.results if prod(shape)] or [(1,)], [call.operand(0)]
    )
    return replace(layer, ops_per_point=max(1, ceil(total / layer.points)))


def cross_entropy(call: OnnxCall) -> Layer:
    """5 operations for each element of the scores: a softmax, a product with the target."""
    first = call.operand(0)
    layer = traffic(call.name, "cross_entropy", [shape or (1,) for shape in call.results if prod(shape)], call.operands)
    return replace(layer, ops_per_point=max(1, ceil(5 * first.elements / layer.points)))
