"""ATen operations that are several layers: attention and recurrent networks, from argument values and shapes alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from energysim.workload.layer import convolution
from energysim.workload.operations import Operand
from energysim.workload.several import Part, attention, recurrent
from energysim.workload.torch_operations import Call


@dataclass(frozen=True, slots=True)
class Step:
    """Parts of an operation, the operands that their places mean, and what had to be assumed.

    A step that follows another one reads its result in the place of operand 0.
    """

    parts: tuple[Part, ...]
    operands: tuple[Operand | None, ...]
    assumed: str = ""


CAUSAL = "attention is causal; its products are costed whole, masked scores included"
MASKED = "attention has a mask; its products are costed whole, masked scores included"
UNMASKED = "attention is not causal: every token attends to every token"
SPREAD = "tokens are spread evenly over experts"
STEPS = "steps of recurrent networks are one loop: that a step waits for the one before is not modelled"


def _attention(call: Call) -> tuple[Step, ...] | None:
    given = call.arguments
    query, key, value = (given[name] for name in ("query", "key", "value"))
    mask = given.get("attn_mask")
    if min(len(each.shape) for each in (query, key, value)) < 3 or query.shape[-3] % key.shape[-3]:
        return None
    parts = attention(call.name, query.shape, key.shape, value.shape, mask)
    assumed = CAUSAL if given.get("is_causal") else MASKED if mask is not None else UNMASKED
    known = (None, mask) if mask is not None and mask.constant else (mask, None)
    return (Step(parts, (query, key, value, known[0], None, known[1]), assumed),)


def _grouped(call: Call) -> tuple[Step, ...] | None:
    """Rows of the first operand, each multiplied by the matrix of one expert: (rows, C) and (experts, C, M)."""
    first, second = [each for each in call.arguments.values() if isinstance(each, Operand)][:2]
    if (len(first.shape), len(second.shape)) != (2, 3) or call.results[0] != (first.shape[0], second.shape[-1]):
        return None
    used = min(first.shape[0], second.shape[0])
    rows, (c, m) = -(-first.shape[0] // used), second.shape[1:]
    layer = convolution(call.name, n=rows, g=used, m=m, c=c, p=1, q=1, op="linear")
    return (Step((Part(layer, (0, 1)),), (first, second), SPREAD),)


def _recurrent(call: Call) -> tuple[Step, ...] | None:
    """All layers of a recurrent network: `params` holds, for each layer and direction, its weights and biases."""
    kind, given = call.op.partition("_")[0], call.arguments
    if "params" not in given or "input" not in given or "batch_sizes" in given:
        return None
    source, params = given["input"], given["params"]
    first = given.get("hx")
    first = first[0] if isinstance(first, list | tuple) else first
    layers, directions = given["num_layers"], 2 if given["bidirectional"] else 1
    each = len(params) // (layers * directions)
    steps, inputs = [], source.shape[-1]
    for layer in range(layers):
        own = params[layer * directions * each : (layer + 1) * directions * each]
        states, projected = own[0].shape[0] // GATES[kind], own[1].shape[1]
        projected = projected if projected != states else 0
        name = call.name if layers == 1 else f"{call.name}.{layer}"
        sizes = {"vectors": source.elements // source.shape[-1], "inputs": inputs, "states": states}
        parts = recurrent(name, kind, **sizes, directions=directions, projected=projected)
        steps.append(Step(parts, _by_place(source if layer == 0 else None, own, each, first, projected), STEPS))
        inputs = directions * (projected or states)
    return tuple(steps)


def _by_place(
    source: Operand | None, own: list[Operand], each: int, first: Operand | None, projected: int
) -> tuple[Operand | None, ...]:
    """Input, weights of inputs and of states, first state, projection; then the rest, which is stored."""
    projection = own[each - 1] if projected else None
    rest = [y for y in own if y.key not in {own[0].key, own[1].key} and y is not projection]
    return (source, own[0], own[1], first, projection, *rest)


def _cell(call: Call) -> tuple[Step, ...] | None:
    """One step of a recurrent network."""
    kind, given = call.op.partition("_")[0], call.arguments
    source, weight, again = (given[name] for name in ("input", "w_ih", "w_hh"))
    first = given.get("hx")
    first = first[0] if isinstance(first, list | tuple) else first
    sizes = {"vectors": source.elements // source.shape[-1], "inputs": source.shape[-1], "states": again.shape[1]}
    rest = [y for y in (given.get("b_ih"), given.get("b_hh")) if y is not None]
    return (Step(recurrent(call.name, kind, **sizes), (source, weight, again, first, None, *rest)),)


GATES = MappingProxyType({"lstm": 4, "gru": 3, "rnn": 1})

SEVERAL: Mapping[str, Callable[[Call], tuple[Step, ...] | None]] = MappingProxyType(
    {
        "scaled_dot_product_attention": _attention,
        **dict.fromkeys(("_grouped_mm", "transformers.grouped_mm_fallback"), _grouped),
        **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
        **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), _cell),
    }
)
"""ATen op to the maker of its layers; None from a maker means that these shapes are beyond it."""
