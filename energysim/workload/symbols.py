"""Sizes that an exported PyTorch graph leaves open: expressions of symbols, computed when these have values."""

import ast
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from energysim.errors import ModelReadError
from energysim.workload.graph import clean_name

MOST_CHARACTERS = 10_000
LARGEST = 1 << 62
"""Sizes beyond this are not sizes of anything."""


def _power(base: int, exponent: int) -> int:
    if not 0 <= exponent <= 16:
        raise ModelReadError(f"a size has the exponent {exponent}")
    power: int = base**exponent
    return power


def _exact(first: int, second: int) -> int:
    if first % second:
        raise ModelReadError(f"a size is {first} divided by {second}, which leaves a rest")
    return first // second


OPERATIONS: Mapping[str, Callable[..., int]] = MappingProxyType(
    {
        "Integer": int,
        "Add": lambda *terms: sum(terms),
        "Mul": lambda *factors: _product(factors),
        "Pow": _power,
        "FloorDiv": lambda first, second: first // second,
        "CleanDiv": _exact,
        "IntTrueDiv": _exact,
        "Mod": lambda first, second: first % second,
        "PythonMod": lambda first, second: first % second,
        "Max": max,
        "Min": min,
    }
)
"""What an expression may be made of, beside symbols: nothing of it is looked up anywhere but here."""

SIGNS: Mapping[type, str] = MappingProxyType(
    {ast.Add: "Add", ast.Mult: "Mul", ast.FloorDiv: "FloorDiv", ast.Mod: "Mod", ast.Pow: "Pow", ast.Div: "CleanDiv"}
)


def _product(factors: tuple[int, ...]) -> int:
    product = 1
    for factor in factors:
        product *= factor
    return product


def symbols(expression: str) -> Iterator[str]:
    """The symbols of an expression, as in `Mul(Integer(2), Symbol('s0', integer=True))` or `2*s0`."""
    for node in ast.walk(_parsed(expression)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Symbol":
            yield _symbol(node)
        elif isinstance(node, ast.Name) and node.id != "Symbol" and node.id not in OPERATIONS:
            yield node.id


def evaluated(expression: str, bound: Mapping[str, int]) -> int:
    """The value of an expression; raises ModelReadError for a symbol without value and for what no size is made of."""
    try:
        value = _value(_parsed(expression).body, bound)
    except (ZeroDivisionError, TypeError, ValueError, OverflowError) as error:
        raise ModelReadError(f"size {clean_name(expression[:60])}: {clean_name(str(error))}") from None
    if abs(value) > LARGEST:
        raise ModelReadError(f"size {clean_name(expression[:60])}: too large")
    return value


def _parsed(expression: str) -> ast.Expression:
    try:
        if len(expression) > MOST_CHARACTERS:
            raise SyntaxError("too long")
        return ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ModelReadError(f"'{clean_name(expression[:60])}' is no size") from None


def _symbol(node: ast.Call) -> str:
    if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant) or not isinstance(node.args[0].value, str):
        raise ModelReadError("a symbol of a size has no name")
    return node.args[0].value


def _value(node: ast.expr, bound: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, bound)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
        return _value(node.left, bound) - _value(node.right, bound)
    if isinstance(node, ast.BinOp) and type(node.op) in SIGNS:
        return OPERATIONS[SIGNS[type(node.op)]](_value(node.left, bound), _value(node.right, bound))
    name = node.id if isinstance(node, ast.Name) else ""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in OPERATIONS:
            return OPERATIONS[node.func.id](*(_value(each, bound) for each in node.args))
        name = _symbol(node) if node.func.id == "Symbol" else ""
    if name in bound:
        return bound[name]
    raise ModelReadError(f"size {clean_name(name or ast.unparse(node)[:60])} is not known")
