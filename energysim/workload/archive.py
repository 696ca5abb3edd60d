"""Zip archives from strangers: opened only within budgets of members, sizes and ratio.

The directory at the end of the file is checked before any member is unpacked: what it says must agree with the headers
in front of the members, members must not lie over each other, and nothing may unpack to more than the budgets allow.
"""

import struct
import zipfile
import zlib
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from energysim.errors import ModelReadError
from energysim.workload.graph import clean_name

END = b"PK\x05\x06"
END_BYTES = 22
COMMENT_BYTES = 0xFFFF
LOCAL_BYTES = 30
LATER_SIZES = 0x8
"""Flag of a member whose sizes follow its data; the directory has them."""
ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that an archive may hold: members, bytes of its directory, and what deflated members unpack to.

    Members that are only stored are no larger than the file, so `unpacked_bytes` and `ratio` are about deflated ones;
    the ratio counts from `free_bytes` on, below which any ratio is harmless.
    """

    members: int = 65_536
    directory_bytes: int = 16 << 20
    unpacked_bytes: int = 1 << 30
    member_bytes: int = 256 << 20
    ratio: float = 100.0
    free_bytes: int = 8 << 20


class Archive:
    """A zip file whose directory has been checked against a budget; a context manager that closes the file."""

    def __init__(self, path: str | Path, budget: Budget | None = None) -> None:
        """Open and check; raises ModelReadError with the file and the reason."""
        self.path = Path(path)
        self._where = clean_name(str(path))
        self._budget = budget or Budget()
        if not self.path.is_file():
            raise ModelReadError(f"{self._where}: no such file")
        self._file: BinaryIO = self.path.open("rb")
        try:
            self._check_end()
            self._zip = zipfile.ZipFile(self._file)
            self.members: dict[str, int] = self._checked()
            """Bytes of each member when unpacked, by name."""
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            struct.error,
            UnicodeDecodeError,
            ValueError,
            OSError,
        ) as error:
            self._file.close()
            raise self._wrong(f"not a sound zip archive: {clean_name(str(error))}") from None
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    def read(self, name: str, at_most: int | None = None) -> bytes:
        """The bytes of a member, at most `at_most` of them (default: all, within the budget of one member).

        Raises ModelReadError for a member that is not there, is too large, or is not what the directory says.
        """
        if name not in self.members:
            raise self._wrong(f"has no member '{clean_name(name)}'")
        size = self.members[name]
        if at_most is None and size > self._budget.member_bytes:
            raise self._wrong(f"member '{clean_name(name)}' is {size:,} bytes; at most {self._budget.member_bytes:,}")
        try:
            with self._zip.open(name) as stream:
                data = stream.read(size if at_most is None else min(size, at_most))
                whole = at_most is None or at_most >= size
                if whole and (len(data) != size or stream.read(1)):
                    raise self._wrong(f"member '{clean_name(name)}' does not unpack to the size it declares")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise self._wrong(f"member '{clean_name(name)}': {clean_name(str(error))}") from None
        return data

    def _wrong(self, what: str) -> ModelReadError:
        return ModelReadError(f"{self._where}: {what}")

    def _check_end(self) -> None:
        """Refuse a directory too large to be worth reading, before anything reads it."""
        self._file.seek(0, SEEK_END)
        size = self._file.tell()
        self._file.seek(max(0, size - END_BYTES - COMMENT_BYTES))
        tail = self._file.read()
        at = tail.rfind(END)
        if at < 0 or len(tail) - at < END_BYTES:
            raise self._wrong("not a zip archive, or cut off: its directory is missing")
        members, directory = struct.unpack_from("<HI", tail, at + 10)
        wide = tail.rfind(b"PK\x06\x06", 0, at)
        if wide >= 0 and at - wide >= 56:
            members, directory = struct.unpack_from("<QQ", tail, wide + 32)
        self._within("members", members, self._budget.members)
        self._within("bytes of directory", directory, min(self._budget.directory_bytes, size))

    def _within(self, what: str, got: float, most: float) -> None:
        if got > most:
            raise self._wrong(f"declares {got:,} {what}; at most {most:,} are read")

    def _checked(self) -> dict[str, int]:
        members = self._zip.infolist()
        self._within("members", len(members), self._budget.members)
        found: dict[str, int] = {}
        packed = unpacked = 0
        for member in members:
            label = clean_name(member.filename)
            parts = PurePosixPath(member.filename.replace("\\", "/"))
            if parts.is_absolute() or ".." in parts.parts or member.filename in found:
                raise self._wrong(f"member '{label}' lies outside the archive or is there twice")
            if member.flag_bits & ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise self._wrong(f"member '{label}' is encrypted or packed in a way that is not read")
            stored = member.compress_type == zipfile.ZIP_STORED
            if stored and member.compress_size != member.file_size:
                raise self._wrong(f"member '{label}' is stored as it is, in another size than it declares")
            found[member.filename] = member.file_size
            if not stored:
                packed, unpacked = packed + member.compress_size, unpacked + member.file_size
        self._within("bytes when unpacked", unpacked, self._budget.unpacked_bytes)
        if unpacked > self._budget.free_bytes and unpacked > packed * self._budget.ratio:
            raise self._wrong(
                f"unpacks to {unpacked / max(packed, 1):,.0f} times its size; at most {self._budget.ratio:,.0f} times"
            )
        self._check_places(sorted(members, key=lambda member: member.header_offset))
        return found

    def _check_places(self, members: list[zipfile.ZipInfo]) -> None:
        """Each member lies behind the one before it, under a header that says what the directory says."""
        free = 0
        for member in members:
            label = clean_name(member.filename)
            if member.header_offset < free:
                raise self._wrong(f"member '{label}' lies over another one")
            self._file.seek(member.header_offset)
            header = self._file.read(LOCAL_BYTES)
            if len(header) < LOCAL_BYTES or header[:4] != b"PK\x03\x04":
                raise self._wrong(f"member '{label}' is not where the directory says")
            flags, method = struct.unpack_from("<HH", header, 6)
            packed, unpacked, name_bytes, extra_bytes = struct.unpack_from("<IIHH", header, 18)
            free = member.header_offset + LOCAL_BYTES + name_bytes + extra_bytes + member.compress_size
            wide = 0xFFFFFFFF in (packed, unpacked) or flags & LATER_SIZES
            if method != member.compress_type or not (
                wide or (packed, unpacked) == (member.compress_size, member.file_size)
            ):
                raise self._wrong(f"member '{label}' differs in its header from what the directory says")
        if free > self._zip.start_dir:
            raise self._wrong("its last member runs into the directory")


def refusal_of_pickle(path: Path) -> ModelReadError:
    """Why a pickle file is no model here, and what to give instead."""
    where = clean_name(str(path))
    if not path.is_file():
        return ModelReadError(f"{where}: no such file")
    return ModelReadError(f"{where}: {_pickle_reason(path)}")


def _pickle_reason(path: Path) -> str:
    instead = (
        "give package.module:function that builds the torch module and its example inputs, "
        "or export it: torch.onnx.export (.onnx) or torch.export.save (.pt2)"
    )
    if path.suffix.lower() in (".pt", ".pth", ".bin", ".ckpt") and zipfile.is_zipfile(path):
        with Archive(path) as archive:
            scripted = any("/code/" in name for name in archive.members)
        if scripted:
            return f"a TorchScript file runs code when it is loaded, so it is not read; {instead}"
        return (
            "a checkpoint holds weights (or a pickled module, which would run code when loaded), but not which "
            f"operations a forward pass does; {instead}"
        )
    return f"pickle files run code when they are loaded, so they are not read; {instead}"
