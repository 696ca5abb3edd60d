"""ONNX operations that are several layers: recurrent networks and attention."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

from energysim.workload import several
from energysim.workload.layer import convolution
from energysim.workload.onnx_operations import OnnxCall
from energysim.workload.operations import Shape, matmul
from energysim.workload.several import Part


def recurrent(kind: str) -> Callable[[OnnxCall], tuple[Part, ...]]:
    """A maker for a recurrent network; X is (steps, batch, inputs), W and R are (directions, gates x states, ...)."""
    places = {0: 0, 1: 1, 2: 2, 3: 5}

    def make(call: OnnxCall) -> tuple[Part, ...]:
        source, weight, again = (call.operand(i).shape for i in range(3))
        sizes = {"vectors": prod(source[:-1]), "inputs": weight[-1], "states": again[-1]}
        parts = several.recurrent(call.name, kind, **sizes, directions=again[0])
        return tuple(replace(part, reads=tuple(places[place] for place in part.reads)) for part in parts)

    return make


def _heads(call: OnnxCall, place: int, attribute: str) -> Shape:
    """(batch, heads, tokens, width) of an input that may have its heads beside each other in the last axis."""
    shape = call.operand(place).shape
    if len(shape) == 4:
        return shape
    heads = int(call.attributes[attribute])
    return (shape[0], heads, shape[1], shape[2] // heads)


def attention(call: OnnxCall) -> tuple[Part, ...]:
    """Q K^T, a softmax, and the product with V; the last keys and values of a decoder come as inputs of their own."""
    query, key = _heads(call, 0, "q_num_heads"), _heads(call, 1, "kv_num_heads")
    value, mask, past = _heads(call, 2, "kv_num_heads"), call.optional(3), call.optional(4)
    if past is not None:
        key, value = ((*y[:2], y[2] + past.shape[2], y[3]) for y in (key, value))
    parts = several.attention(call.name, query, key, value, mask)
    with_past = {1: (1, 4), 2: (2, 5)}
    return tuple(
        replace(part, reads=tuple(place for y in part.reads for place in with_past.get(y, (y,)))) for part in parts
    )


def linear_attention(call: OnnxCall) -> tuple[Part, ...]:
    """For each token and head: the outer product of key and value joins a state, which the query is multiplied by."""
    heads = int(call.attributes.get("q_num_heads", 1))
    query, value = call.operand(0).shape, call.operand(2).shape
    batch, tokens = query[0], query[1]
    width, value_width = query[-1] // heads, max(1, value[-1] // int(call.attributes.get("kv_num_heads", heads)))
    group = {"N": tokens, "G": batch * heads, "M": value_width}
    update = matmul(f"{call.name}.state", group | {"P": width})
    asked = matmul(f"{call.name}.query", group | {"C": width})
    return (Part(update, (1, 2)), Part(asked, (0,), (0,)))


def causal_convolution(call: OnnxCall) -> tuple[Part, ...]:
    """A depthwise convolution over the tokens so far; the state holds the last ones of the call before."""
    batch, channels, tokens = call.operand(0).shape
    taps = call.operand(1).shape[-1]
    layer = convolution(call.name, n=batch, g=channels, m=1, c=1, p=1, q=tokens, s=taps)
    return (Part(layer, tuple(range(len(call.inputs)))),)
