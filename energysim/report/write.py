"""Files appear whole or not at all."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from energysim.errors import OutputError
from energysim.report.text import clean


def check_writable(path: str | Path) -> None:
    """Raise OutputError when a file could not be written at `path`, before any work is done for it."""
    path = Path(path)
    try:
        if path.is_dir():
            raise OutputError(f"{clean(str(path))}: is a directory; give a file name")
        if path.exists() and not path.is_file():
            raise OutputError(f"{clean(str(path))}: is not a regular file")
        if not path.parent.is_dir():
            what = "is not a directory" if path.parent.exists() else "no such directory"
            raise OutputError(f"{clean(str(path))}: cannot be written: {clean(str(path.parent))}: {what}")
        if not os.access(path.parent, os.W_OK):
            raise OutputError(f"{clean(str(path))}: cannot be written: no permission in {clean(str(path.parent))}")
    except (OSError, ValueError) as error:
        raise OutputError(f"{clean(str(path))}: cannot be written: {_reason(error)}") from error


def spare_inputs(texts: Mapping[Path, str | bytes], inputs: Iterable[object]) -> None:
    """Raise OutputError when a text would replace a file that was read for it by another text."""
    for path, text in texts.items():
        for given in map(str, inputs):
            if path.is_file() and os.path.isfile(given) and path.samefile(given) and path.read_bytes() != _bytes(text):
                raise OutputError(f"{clean(str(path))}: would overwrite the input {clean(given)}; give -o another name")


def write_together(texts: Mapping[Path, str | bytes]) -> None:
    """Write files so that each appears whole, and only after all could be written; raises OutputError."""
    parts: dict[Path, Path] = {}
    path = Path()
    try:
        for path, text in texts.items():
            check_writable(path)
            target = path.resolve()
            part = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
            parts[part] = target
            with part.open("xb") as file:
                file.write(_bytes(text))
                file.flush()
                os.fsync(file.fileno())
        # The first file is the answer: it appears last, when all that belongs to it is there.
        for part, path in reversed(parts.items()):
            part.replace(path)
    except (OSError, ValueError) as error:
        raise OutputError(f"{clean(str(path))}: cannot be written: {_reason(error)}") from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
