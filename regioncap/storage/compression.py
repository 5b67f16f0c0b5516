"""Decompressors, chosen by a file's first bytes or its name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from regioncap.errors import RegionCapError, UsageError


def _zstd(raw: Any) -> Any:
    try:
        # In Python since 3.14, as compression.zstd; this package is the same code for earlier ones.
        from backports.zstd import ZstdFile
    except ImportError:
        raise UsageError(
            "input: a file is compressed with zstd, which needs backports.zstd: pip install 'regioncap[zstd]'"
        ) from None
    return _ZstdReader(ZstdFile(raw))


class _ZstdReader(io.RawIOBase):
    """`file` with the errors of Python's other decompressors: zstd's own are none of `DECOMPRESSION_ERRORS`."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._file.read1(len(buffer))
        except (RegionCapError, EOFError, OSError):
            raise
        except Exception as error:
            raise ValueError(str(error)) from error
        buffer[: len(piece)] = piece
        return len(piece)


COMPRESSIONS: dict[str, Callable[[Any], Any]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw, mode="rb"),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _zstd,
}
"""Decompressors by extension: each wraps an open file of that kind for reading."""

_MAGIC = {
    ".gz": re.compile(rb"\x1f\x8b\x08"),
    ".bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    ".xz": re.compile(rb"\xfd7zXZ\x00"),
    ".zst": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
}
"""How the content of each begins; bzip2's and zstd's second form are those of an empty and of a skippable block."""

MAGIC_BYTES = 16

DECOMPRESSION_ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)
"""Errors that decompressors raise for a broken file; BadGzipFile is an OSError, UnicodeDecodeError a ValueError."""


def compression(name: str) -> str:
    """The extension of a compressed file (`.gz`), or ""."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in COMPRESSIONS else ""


def compression_in(head: bytes) -> str:
    """How a file that begins with `head` is compressed, as an extension; "" where its first bytes do not tell."""
    return next((suffix for suffix, magic in _MAGIC.items() if magic.match(head)), "")
