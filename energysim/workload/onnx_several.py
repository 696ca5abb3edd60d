"""ONNX operations that are several layers: recurrent networks and attention."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

from energysim.workload.layer import convolution
from energysim.workload.onnx_operations import OnnxCall, Part
from energysim.workload.operations import SOFTMAX_OPS, Operand, Shape, elementwise, matmul


def recurrent(op: str, gates: int, ops: int) -> Callable[[OnnxCall], tuple[Part, ...]]:
    """A maker for a recurrent network of so many gates, with so many plain operations for each state and step.

    Inputs as in ONNX: X (steps, batch, inputs), W (directions, gates x states, inputs), R (directions, gates x states,
    states). Three layers: products with the inputs, products with the states (a group for each direction), the gates.
    """

    def make(call: OnnxCall) -> tuple[Part, ...]:
        steps, weight, again = (call.operand(i).shape for i in range(3))
        directions, rows, states = again
        vectors = prod(steps[:-1])
        own = f"{call.name}.{op}"
        inputs = convolution(call.name, n=vectors, m=directions * rows, c=weight[-1], p=1, q=1, op="linear")
        recur = convolution(f"{call.name}.recurrent", n=vectors, g=directions, m=rows, c=states, p=1, q=1, op="linear")
        shape = (vectors, directions * states)
        operands = [Operand((vectors, directions * states), False, key) for key in ("x", "h")]
        point = elementwise(own, op, shape, operands, ops)
        assert point is not None and rows == gates * states  # noqa: PT018, S101
        recur = replace(recur, parameters=0)
        return (Part(inputs, (0, 1)), Part(recur, (2,)), Part(point, (), (0, 1)))

    return make


def _heads(call: OnnxCall, place: int, attribute: str) -> Shape:
    """(batch, heads, tokens, width) of an input that may have its heads beside each other in the last axis."""
    shape = call.operand(place).shape
    if len(shape) == 4:
        return shape
    heads = int(call.attributes[attribute])
    return (shape[0], heads, shape[1], shape[2] // heads)


def attention(call: OnnxCall) -> tuple[Part, ...]:
    """Q K^T, a softmax, and the product with V; several query heads may share one of keys and values."""
    batch, heads, queries, width = _heads(call, 0, "q_num_heads")
    keys, value_width = _heads(call, 1, "kv_num_heads")[2], _heads(call, 2, "kv_num_heads")[3]
    past = call.optional(4)
    keys += past.shape[2] if past is not None else 0
    group = batch * heads
    first = matmul(call.name, {"G": group, "P": queries, "C": width, "M": keys})
    weights = (batch, heads, queries, keys)
    softmax = elementwise(f"{call.name}.softmax", "softmax", weights, [Operand(weights, False, "s")], SOFTMAX_OPS)
    last = matmul(f"{call.name}.values", {"G": group, "P": queries, "C": keys, "M": value_width})
    assert softmax is not None  # noqa: S101
    return (Part(first, (0, 1, 3, 4)), Part(softmax, (), (0,)), Part(last, (2, 5), (1,)))


def linear_attention(call: OnnxCall) -> tuple[Part, ...]:
    """For each token and head: the outer product of key and value joins a state, which the query is multiplied by."""
    heads: Any = call.attributes.get("q_num_heads", 1)
    query, value = call.operand(0).shape, call.operand(2).shape
    batch, tokens = query[0], query[1]
    width, value_width = query[-1] // heads, max(1, value[-1] // int(call.attributes.get("kv_num_heads", heads)))
    dims = {"N": tokens, "G": batch * heads, "P": width, "M": value_width}
    update = matmul(call.name, dims)
    asked = matmul(f"{call.name}.query", {"N": tokens, "G": batch * heads, "C": width, "M": value_width})
    return (Part(update, (1, 2)), Part(asked, (0,), (0,)))


def causal_convolution(call: OnnxCall) -> tuple[Part, ...]:
    """A depthwise convolution over the tokens so far; the state holds the last ones of the call before."""
    batch, channels, tokens = call.operand(0).shape
    taps = call.operand(1).shape[-1]
    layer = convolution(call.name, n=batch, g=channels, m=1, c=1, p=1, q=tokens, s=taps)
    return (Part(layer, tuple(range(len(call.inputs)))),)
