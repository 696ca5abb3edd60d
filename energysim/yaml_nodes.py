"""YAML to values that know their file and line; the only place that touches yaml.

`load(path)` gives a `Node`; the kinds of `yaml_fields` turn nodes into values and report mistakes through `Problems`.
Scalars follow the core schema of YAML 1.2 (`8e-2` is a number, `no` a text). Refused, with file and line: duplicate
keys, anchors, aliases, tags, directives, tabs, several documents, depth over 64, files over 1 MiB, anything not UTF-8.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from energysim.errors import InputError

MAXIMUM_BYTES = 1 << 20
MAXIMUM_DEPTH = 64
SHOWN_PROBLEMS = 20
LONG_TEXT = 1 << 16

Value = None | bool | int | float | str | list["Node"] | dict[str, "Node"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it (or the key that names it) stands; lists and mappings hold nodes."""

    value: Value
    file: str
    line: int

    def __getitem__(self, key: str | int) -> "Node":
        """The node of a mapping's field or a list's item, given that it is there."""
        return self.value[key]  # type: ignore[index, return-value]

    def plain(self) -> Any:
        """The value as ordinary Python dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value


class Problems:
    """Collects mistakes, so that several are reported together: `add` each one, then `check` once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[tuple[int, str]] = []
        self.more = 0

    @property
    def full(self) -> bool:
        """Whether enough has been found; what comes now is only counted."""
        return len(self.found) >= SHOWN_PROBLEMS

    def add(self, where: Node | int, what: str) -> None:
        """Note one mistake at a node or line."""
        line = where.line if isinstance(where, Node) else where
        if self.full:
            self.more += 1
        elif (line, what) not in self.found:
            self.found.append((line, what))

    def check(self) -> None:
        """Raise one InputError with a line for each mistake, in the order of the file; nothing when there is none."""
        if self.found:
            lines = [f"{self.file}:{line}: {what}" for line, what in sorted(self.found)]
            more = [f"{self.file}: and {self.more} more"] if self.more else []
            raise InputError("\n".join(lines + more))


def shown(text: str, length: int = 60) -> str:
    """A text from a file made fit to print: control and bidi characters escaped, cut to `length` characters."""
    cut = text if len(text) <= length else text[:length] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def load(path: str | Path) -> Node:
    """The one document of a YAML file; raises InputError (file, line, what) for anything else."""
    file = shown(str(path), 4096)
    try:
        if Path(path).is_dir():
            raise InputError(f"{file}: is a directory, not a YAML file")
        with Path(path).open("rb") as stream:
            size = Path(path).stat().st_size
            content = stream.read(MAXIMUM_BYTES + 1) if size <= MAXIMUM_BYTES else b""
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{file}: cannot be read: {reason}") from None
    if max(size, len(content)) > MAXIMUM_BYTES:
        raise InputError(f"{file}: is larger than 1 MiB; no file of ours is")
    return parse(content, file)


def parse(content: bytes | str, file: str) -> Node:
    """The one document in a YAML text, which `file` names in errors; raises InputError for anything else."""
    import yaml

    text = _clean(content, file)
    fast = getattr(yaml, "CSafeLoader", None)
    if fast is None:
        return _parse_with(yaml.SafeLoader, text, file)
    try:
        return _parse_with(fast, text, file)
    except InputError:
        if len(text) > LONG_TEXT:
            raise
    return _parse_with(yaml.SafeLoader, text, file)  # it has the last word, so messages do not depend on libyaml


def _parse_with(parser: Any, text: str, file: str) -> Node:
    import yaml

    loader = parser(text)
    try:
        root = _build(iter(loader.get_event, None), file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        raise InputError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InputError(f"{file}: not valid YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()
    if root is None or root.value is None:
        raise InputError(f"{file}:1: holds nothing")
    return root


_LINE_ENDS = "\x85\u2028\u2029"  # YAML 1.1 parsers end lines here, YAML 1.2 ones do not


def _allowed(char: str) -> bool:
    """Whether YAML lets a character stand in a text unescaped, line ends and a stray byte-order mark apart."""
    code = ord(char)
    control = code < 32 or 126 < code < 160 or 0xD7FF < code < 0xE000 or code in (0xFEFF, 0xFFFE, 0xFFFF)
    return char == "\n" or not (control or char in _LINE_ENDS)


def _clean(content: bytes | str, file: str) -> str:
    """Text with plain line ends and only printable characters; a byte-order mark at the start is dropped."""
    if isinstance(content, bytes):
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise InputError(f"{file}:{line}: not UTF-8 (byte 0x{content[error.start]:02x})") from None
    else:
        text = content
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    wrong = min((text.index(char) for char in set(text) if not _allowed(char)), default=None)
    if wrong is not None:
        line = text.count("\n", 0, wrong) + 1
        code = ord(text[wrong])
        what = "tab; YAML is indented with spaces" if code == 9 else f"control character U+{code:04X}"
        raise InputError(f"{file}:{line}: {what}")
    return text


@dataclass(slots=True)
class _Open:
    """A list or mapping still being read, and the key whose value comes next."""

    value: list[Node] | dict[str, Node]
    line: int
    key: str | None = None
    key_line: int = 0


def _build(events: Iterator[Any], file: str) -> Node | None:
    """One pass over the parser's events: refuses what is forbidden before it is built, and builds the rest."""
    from yaml import events as kinds

    root: Node | None = None
    stack: list[_Open] = []
    documents = 0
    for event in events:
        kind = type(event)
        line = event.start_mark.line + 1
        top = stack[-1] if stack else None
        if kind is kinds.ScalarEvent:
            _refuse_marks(event, file, line)
            if top is not None and top.key is None and isinstance(top.value, dict):
                _take_key(top, event.value, file, line)
                continue
            node = Node(_resolve(event, file, line), file, top.key_line if top and top.key is not None else line)
        elif kind in (kinds.SequenceStartEvent, kinds.MappingStartEvent):
            _refuse_marks(event, file, line)
            if top is not None and top.key is None and isinstance(top.value, dict):
                raise InputError(f"{file}:{line}: a key must be a plain text, not a list or mapping")
            if len(stack) == MAXIMUM_DEPTH:
                raise InputError(f"{file}:{line}: nested deeper than {MAXIMUM_DEPTH} levels")
            value: list[Node] | dict[str, Node] = [] if kind is kinds.SequenceStartEvent else {}
            stack.append(_Open(value, top.key_line if top and top.key is not None else line))
            continue
        elif kind in (kinds.SequenceEndEvent, kinds.MappingEndEvent):
            done = stack.pop()
            node = Node(done.value, file, done.line)
            top = stack[-1] if stack else None
        else:
            documents += kind is kinds.DocumentStartEvent
            _refuse_others(event, file, line, documents)
            continue
        if top is None:
            root = node
        elif isinstance(top.value, list):
            top.value.append(node)
        else:
            top.value[top.key or ""] = node
            top.key = None
    return root


def _take_key(top: _Open, key: str, file: str, line: int) -> None:
    assert isinstance(top.value, dict)  # noqa: S101
    if key in top.value:
        raise InputError(f"{file}:{line}: key '{shown(key)}' was given before, on line {top.value[key].line}")
    top.key, top.key_line = key, line


def _refuse_marks(event: Any, file: str, line: int) -> None:
    if event.anchor is not None:
        raise InputError(f"{file}:{line}: anchor '&{shown(event.anchor)}'; anchors and aliases are not allowed")
    if event.tag is not None:
        raise InputError(f"{file}:{line}: tag '{shown(event.tag)}'; tags are not allowed, write plain values")


def _refuse_others(event: Any, file: str, line: int, documents: int) -> None:
    if documents > 1:
        raise InputError(f"{file}:{line}: a second document; one file holds one")
    if getattr(event, "anchor", None) is not None:
        raise InputError(f"{file}:{line}: alias '*{shown(event.anchor)}'; anchors and aliases are not allowed")
    if getattr(event, "version", None) or getattr(event, "tags", None):
        raise InputError(f"{file}:{line}: a % directive; directives are not allowed")


_WORDS: dict[str, Value] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_WORDS |= {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INFINITE = {sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
_WORDS |= _INFINITE | dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan"))
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


def _resolve(event: Any, file: str, line: int) -> Value:
    """The value of a scalar by the core schema of YAML 1.2; quoted ones are texts."""
    text: str = event.value
    if not event.implicit[0]:
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise InputError(f"{file}:{line}: text with half a character (a surrogate escape)")
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > 100:
            raise InputError(f"{file}:{line}: a number of {len(text)} digits")
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not isfinite(number):
            raise InputError(f"{file}:{line}: number {shown(text)} is too large")
        return number
    if _SEXAGESIMAL.fullmatch(text):
        raise InputError(f"{file}:{line}: {shown(text)} is ambiguous (base 60 in old YAML); write a number or quote it")
    return text


def dump(value: Mapping[str, Any]) -> str:
    """YAML text of nested mappings, lists and scalars that `load` reads back as equal values; InputError on others."""
    return "".join(line + "\n" for line in _block(value))


_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return repr(value)
    if not isinstance(value, str):
        raise InputError(f"cannot be written as YAML: {value!r}")
    if _BARE.fullmatch(value) and value not in _WORDS:
        return value
    import json

    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def flow_style(value: Any) -> str:
    """A nested value in one line of YAML; InputError on what YAML cannot hold."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {flow_style(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow_style, value)) + "]"
    return _scalar(value)


def _leafy(value: Any) -> bool:
    """Whether a value is written in one line: it is a scalar or holds only scalars, and is short."""
    if isinstance(value, str) or not isinstance(value, (Mapping, Sequence)):
        return True
    items = value.values() if isinstance(value, Mapping) else value
    scalars = not any(isinstance(item, (Mapping, Sequence)) and not isinstance(item, str) for item in items)
    return not value or (scalars and len(flow_style(value)) <= 110)


def _block(value: Any) -> Iterator[str]:
    """Lines of a mapping or list in block style, its leaves in flow style."""
    if not value:
        yield flow_style(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if _leafy(item):
                yield f"{_scalar(key)}: {flow_style(item)}"
            else:
                yield f"{_scalar(key)}:"
                yield from ("  " + line for line in _block(item))
    else:
        for item in value:
            lines = [flow_style(item)] if _leafy(item) and not isinstance(item, Mapping) else list(_block(item))
            yield f"- {lines[0]}"
            yield from ("  " + line for line in lines[1:])
