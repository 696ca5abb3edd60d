"""Puts tables and sentences on a stream: in colour on a terminal, as plain text without a single escape elsewhere."""

import io
from collections.abc import Iterable
from shutil import get_terminal_size
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PLAIN_WIDTH = 200
"""Columns of plain text: wide enough that no number is cut."""


def width_of(stream: TextIO) -> int:
    """Columns of a terminal, or of plain text."""
    return get_terminal_size().columns if stream.isatty() else PLAIN_WIDTH


def show(parts: "Iterable[RenderableType]", stream: TextIO) -> None:
    """Print on a stream, at the terminal's width and in colour if it is one."""
    if stream.isatty():
        console = _console(stream)
        for part in parts:
            console.print(part)
    else:
        stream.write(plain(parts, stream.encoding or "utf-8"))


def plain(parts: "Iterable[RenderableType]", encoding: str = "utf-8") -> str:
    """Plain text without escapes and trailing blanks, in characters that `encoding` has; sentences are not wrapped."""
    from rich.text import Text

    text = _Held(encoding)
    console = _console(text, PLAIN_WIDTH)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))
    whole = "\n".join(line.rstrip() for line in text.getvalue().split("\n"))
    return whole if encoding.lower().startswith("utf") else whole.replace("µ", "u")


class _Held(io.StringIO):
    """Text in memory that pretends to have an encoding, so that frames and bars are drawn in its characters."""

    encoding = ""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self.encoding = encoding


def _console(stream: TextIO, width: int | None = None) -> "Console":
    from rich.console import Console

    # Names come out of files: nothing in them is markup, an emoji code or a thing to colour.
    is_plain = width is not None
    return Console(
        file=stream,
        width=width,
        force_terminal=not is_plain,
        no_color=True if is_plain else None,
        markup=False,
        highlight=False,
        emoji=False,
    )
