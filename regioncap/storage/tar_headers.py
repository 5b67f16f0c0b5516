"""The members of a tar, read from its headers alone.

Headers are decoded by the standard library's `tarfile`; the walk over them is our own, since `TarFile` keeps every
member, and takes a broken header behind the first one, or a lone block of zeros, for the end.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

BLOCK = tarfile.BLOCKSIZE

MAX_HEADER_BYTES = 1_000_000
"""The most that belongs to one header: long names, times, what else programs note of a file."""

NAME_ENCODING, NAME_ERRORS = "utf-8", "surrogateescape"
"""How names become text, and their bytes again."""


class TarStream(Protocol):
    """A tar's bytes, decompressed: read in order, with skips ahead."""

    def seek(self, at: int) -> Any:
        """Continue at this byte, which is none before those read last."""

    def tell(self) -> int:
        """Where the next byte is read."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; fewer only at the end."""


class TarDamaged(ValueError):
    """A tar that is broken or cut off. Attributes: `at` (byte of the decompressed tar), `reason`."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(at, reason)
        self.at = at
        self.reason = reason

    def __str__(self) -> str:
        return f"damaged at byte {self.at:,}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a tar. `offset`, `size`: bytes of its data in the decompressed tar. `data`: its bytes, if wanted.
    `is_file`: whether it is a file whose bytes lie there as they are: no folder, link, device or sparse file."""

    name: str
    offset: int
    size: int
    is_file: bool
    data: bytes | None = None
    is_folder: bool = False


class _Bounded:
    """The stream that headers are read from: what belongs to one, a long name, is not of any length."""

    def __init__(self, stream: TarStream) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > MAX_HEADER_BYTES:
            raise TarDamaged(self.tell(), f"a header of {size:,} bytes")
        return self._stream.read(size)


class _Headers(tarfile.TarFile):
    """What `TarInfo.fromtarfile` needs of a tar: nothing is read ahead, no member is kept."""

    def __init__(self, stream: TarStream) -> None:
        super().__init__(fileobj=_Bounded(stream), encoding=NAME_ENCODING, errors=NAME_ERRORS)  # type: ignore[arg-type]

    def next(self) -> tarfile.TarInfo | None:
        return None


def members_of(stream: TarStream, wanted: Callable[[Member], bool] = lambda member: False) -> Iterator[Member]:
    """The members of a tar, in order. `wanted`: of which files the bytes are.

    Tars that follow each other in one file (`cat a.tar b.tar`) are read as one. Raises TarDamaged, and what `stream`
    raises.
    """
    headers = _Headers(stream)
    at = zeros = 0
    while True:
        stream.seek(at)
        try:
            info = tarfile.TarInfo.fromtarfile(headers)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            at, zeros = at + BLOCK, zeros + 1
            continue
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
            if at == 0:
                raise TarDamaged(at, "the file is empty") from None
            return
        except TarDamaged:
            raise
        except (tarfile.HeaderError, ValueError) as error:
            if zeros > 1:  # behind the mark of its end a tar may hold anything
                return
            raise TarDamaged(at, f"no header of a member ({error})" if at else f"not a tar ({error})") from None
        if headers.offset <= at or info.size < 0:
            raise TarDamaged(at, "a member of a size that cannot be")
        yield _member(stream, info, headers.offset, wanted)
        at, zeros = headers.offset, 0


def members_before(before: bytes) -> Iterator[Member]:
    """What the header that `before` ends with may tell: by itself, and with the blocks of a long name before it."""
    for start in range(len(before) - BLOCK, -1, -BLOCK):
        with suppress(tarfile.HeaderError, ValueError):
            info = tarfile.TarInfo.fromtarfile(_Headers(io.BytesIO(before[start:])))
            if info.offset_data == len(before) - start:
                yield Member(info.name, 0, info.size, info.isreg())


def _member(stream: TarStream, info: tarfile.TarInfo, end: int, wanted: Callable[[Member], bool]) -> Member:
    member = Member(
        info.name, info.offset_data, info.size, info.isreg() and not info.issparse(), is_folder=info.isdir()
    )
    if member.is_file and wanted(member):
        stream.seek(member.offset)
        data = stream.read(member.size)
        if len(data) == member.size:
            return replace(member, data=data)
    else:
        # The data's last byte tells whether it is all there; what fills the block up may be missing.
        last = min(member.offset + member.size, end) - 1
        if last < member.offset:
            return member
        stream.seek(last)
        if stream.read(1):
            return member
    name = member.name.encode(NAME_ENCODING, NAME_ERRORS).decode(NAME_ENCODING, "backslashreplace")
    raise TarDamaged(member.offset, f"the tar ends within its member {name[:100]!r}")
