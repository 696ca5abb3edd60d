"""The JSON of an exported PyTorch program as a graph: data only, operations are looked up by name in ATen's table."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from energysim.errors import InputError, ModelReadError, nearest
from energysim.workload.graph import clean_name
from energysim.workload.symbols import evaluated, symbols

if TYPE_CHECKING:
    from torch.fx import Graph, Node

MOST_NODES = 200_000
ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
SPECS = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
PLAIN = ("as_int", "as_float", "as_bool", "as_string", "as_ints", "as_floats", "as_bools", "as_strings")
"""Arguments that are what they say."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Names of the graph's inputs: of parameters and buffers by the names they have in the model, and of the user's."""

    inputs_to_parameters: Mapping[str, str]
    inputs_to_buffers: Mapping[str, str]
    user_inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A graph and its signature, as an ExportedProgram has them."""

    graph: "Graph"
    graph_signature: Signature


@dataclass(slots=True)
class GraphBuilder:
    """Builds the graph of an exported program from its JSON, with the sizes that `dims` gives by symbol or input."""

    fields: Mapping[str, Any]
    dims: Mapping[str, int]
    values: "dict[str, Node]" = field(default_factory=dict)
    bound: dict[str, int] = field(default_factory=dict)

    def build(self) -> Program:
        """The program; raises ModelReadError, InputError for what is wrong with the file and with the dims."""
        import torch

        module = self.fields["graph_module"]
        given = module["graph"]
        signature = _signature(module["signature"])
        self._bind(given, signature)
        if len(given["nodes"]) > MOST_NODES:
            raise ModelReadError(f"has {len(given['nodes']):,} nodes; at most {MOST_NODES:,} are read")
        graph = torch.fx.Graph()
        for argument in given["inputs"]:
            name = next(iter(argument.values()))
            name = name["name"] if isinstance(name, dict) else ""
            if name in given["tensor_values"]:
                self._name(graph.placeholder(name), name, self._tensor(given, name))
        for node in given["nodes"]:
            self._node(graph, given, node)
        results = [self.values[each["as_tensor"]["name"]] for each in given["outputs"] if "as_tensor" in each]
        graph.output(tuple(results))
        return Program(graph, signature)

    def _bind(self, given: Mapping[str, Any], signature: Signature) -> None:
        """Sizes of symbols from `dims`, which name them, or an axis of an input whose size is the symbol alone."""
        places: dict[str, list[str]] = {}
        sizes = [size for value in given["tensor_values"].values() for size in value["sizes"]]
        for size in [*sizes, *given.get("sym_int_values", {}).values()]:
            for symbol in symbols(size["as_expr"]["expr_str"]) if "as_expr" in size else ():
                places.setdefault(symbol, [])
        for name in signature.user_inputs:
            for axis, size in enumerate(given["tensor_values"].get(name, {}).get("sizes", ())):
                found = list(symbols(size["as_expr"]["expr_str"])) if "as_expr" in size else []
                if len(found) == 1 and not re.search(r"Add|Mul|Pow|Div|Mod", size["as_expr"]["expr_str"]):
                    places[found[0]].append(f"{name}.{axis}")
        by_name = {place: symbol for symbol, names in places.items() for place in (symbol, *names)}
        for name, size in self.dims.items():
            if name not in by_name:
                hint = nearest(name, by_name) or (f"; it has {', '.join(by_name)}" if by_name else "; it has none")
                raise InputError(f"no open dim '{clean_name(name)}'{hint}")
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise InputError(f"dim {clean_name(name)} is {size}; it must be an integer of at least 1")
            self.bound[by_name[name]] = size
        open_ones = [clean_name((places[symbol] or [symbol])[0]) for symbol in places if symbol not in self.bound]
        if open_ones:
            options = " ".join(f"--dim {name}=SIZE" for name in open_ones)
            raise InputError(f"sizes are open: {', '.join(open_ones)}; give them ({options}, in Python dims={{...}})")
        self._within_range()

    def _within_range(self) -> None:
        for symbol, limits in (self.fields.get("range_constraints") or {}).items():
            size = self.bound.get(symbol)
            least, most = limits.get("min_val"), limits.get("max_val")
            if size is not None and ((least is not None and size < least) or (most is not None and size > most)):
                raise InputError(f"dim {clean_name(symbol)} is {size}; it was exported for {least} to {most}")

    def _size(self, size: Mapping[str, Any]) -> int:
        value = size["as_int"] if "as_int" in size else evaluated(size["as_expr"]["expr_str"], self.bound)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ModelReadError(f"'{clean_name(str(value))}' is no size")
        return value

    def _tensor(self, given: Mapping[str, Any], name: str) -> Any:
        """A tensor without numbers that has the shape of a value."""
        import torch

        shape = [self._size(size) for size in given["tensor_values"][name]["sizes"]]
        if any(size < 0 for size in shape):
            raise ModelReadError(f"'{clean_name(name)}' has a negative size")
        return torch.empty(shape, device="meta")

    def _name(self, node: "Node", name: str, value: Any) -> None:
        node.name, node.meta["val"] = name, value
        self.values[name] = node

    def _node(self, graph: "Graph", given: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        if any(key.startswith("as_sym") for each in fields["outputs"] for key in each):
            return  # arithmetic of sizes: their values are known already
        target, mutates = _operation(str(fields["target"]))
        args, kwargs = self._arguments(given, target, fields["inputs"])
        node = graph.call_function(target, args, kwargs)
        said = fields.get("metadata") or {}
        node.meta["nn_module_stack"] = dict(_modules(said.get("nn_module_stack", "")))
        node.meta["torch_fn"] = tuple(said.get("torch_fn", "").split(";"))[:2]
        outputs = [each for each in fields["outputs"] if "as_none" not in each]
        listed = [name for each in outputs for name in _names(each)]
        if len(outputs) == 1 and "as_tensor" in outputs[0]:
            self._name(node, listed[0], self._tensor(given, listed[0]))
        elif listed:
            node.meta["val"] = tuple(self._tensor(given, name) for name in listed)
            for place, name in enumerate(listed):
                part = graph.call_function(_getitem(), (node, place))
                part.meta = {**node.meta}
                self._name(part, name, node.meta["val"][place])
        if mutates and args and len(listed) == 1 and hasattr(args[0], "op"):
            self.values.update({name: node for name, own in self.values.items() if own is args[0]})

    def _arguments(
        self, given: Mapping[str, Any], target: Any, inputs: list[Mapping[str, Any]]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional as far as they follow the operation's schema, the rest by name."""
        schema = getattr(target, "_schema", None)
        names = [each.name for each in schema.arguments] if schema is not None else []
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for each in inputs:
            value = self._argument(given, each["arg"])
            follows = not kwargs and (schema is None or names[len(args) : len(args) + 1] == [each["name"]])
            if follows:
                args.append(value)
            else:
                kwargs[str(each["name"])] = value
        return tuple(args), kwargs

    def _argument(self, given: Mapping[str, Any], argument: Mapping[str, Any]) -> Any:
        ((kind, value),) = argument.items()
        if kind in PLAIN:
            return value
        if kind in ("as_tensor", "as_tensors"):
            return self.values[value["name"]] if kind == "as_tensor" else [self.values[each["name"]] for each in value]
        if kind in ("as_optional_tensor", "as_optional_tensors"):
            each = [self.values[y["as_tensor"]["name"]] if "as_tensor" in y else None for y in _listed(value)]
            return each if kind.endswith("s") else each[0]
        if kind in ("as_sym_int", "as_sym_ints"):
            sizes = [self._integer(given, y) for y in _listed(value)]
            return sizes if kind.endswith("s") else sizes[0]
        return None

    def _integer(self, given: Mapping[str, Any], argument: Mapping[str, Any]) -> int:
        if "as_int" in argument:
            return int(argument["as_int"])
        return self._size(given["sym_int_values"][argument["as_name"]])


def _signature(fields: Mapping[str, Any]) -> Signature:
    names: dict[str, dict[str, str]] = {kind: {} for kind in SPECS}
    inputs = []
    for spec in fields["input_specs"]:
        ((kind, about),) = spec.items()
        if kind in SPECS:
            names[kind][about["arg"]["name"]] = str(about[SPECS[kind]])
        elif kind == "user_input" and "as_tensor" in about["arg"]:
            inputs.append(about["arg"]["as_tensor"]["name"])
    return Signature(names["parameter"], names["buffer"] | names["tensor_constant"], tuple(inputs))


def _operation(target: str) -> tuple[Any, bool]:
    """The ATen operation of a name, or something that only bears the name; an in-place one as what it computes."""
    import torch

    matched = ATEN.fullmatch(target)
    if matched is None:
        label = clean_name(target.removeprefix("torch.ops.").rpartition(".")[0] or target)
        return _named(label), False
    name, overload = matched.groups()
    for plain in (name.removesuffix("_"), name):
        packet = getattr(torch.ops.aten, plain, None) if plain and not plain.startswith("__") else None
        found = getattr(packet, overload, None)
        if found is not None and hasattr(found, "_schema"):
            return found, plain != name
    return _named(name), False


def _named(name: str) -> Any:
    def unknown_operation() -> None:
        """Never called: it stands for an operation that we know by name only."""

    unknown_operation.__name__ = unknown_operation.__qualname__ = name
    return unknown_operation


def _getitem() -> Any:
    import operator

    return operator.getitem


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _names(output: Mapping[str, Any]) -> Iterator[str]:
    ((kind, value),) = output.items()
    if kind in ("as_tensor", "as_tensors"):
        yield from (each["name"] for each in _listed(value))


def _modules(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Entries of a module stack: key, path in the model, class."""
    for entry in text.split(";"):
        parts = entry.split(",")
        if len(parts) == 3 and "_empty_nn_module_stack" not in entry:
            yield parts[0], (parts[1], parts[2])


def leaves(graph: "Graph") -> frozenset[str]:
    """Paths of the modules that call operations and have no parts which do."""
    paths = {str(path) for node in graph.nodes for path, _ in (node.meta.get("nn_module_stack") or {}).values()}
    inner = {path.rpartition(".")[0] for path in paths} | {""}
    return frozenset(paths - inner)


def described(error: Exception) -> str:
    """What is wrong with the JSON of a program, in one line."""
    kind = "has no" if isinstance(error, KeyError) else "is not a graph that torch.export saves:"
    return f"{kind} {clean_name(str(error))}"
