"""The files that the fake server keeps: what was uploaded, and what its batches wrote. On disk, until it ends."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

LIFETIME = 30 * 86_400
"""Seconds after which OpenAI deletes the files of batches; here only said."""


@dataclass
class StoredFile:
    """A file. `purpose`: `batch` or `batch_output`. `size` in bytes; `lines`: how many it has."""

    path: Path
    filename: str
    purpose: str
    id: str = field(default_factory=lambda: f"file-{uuid.uuid4().hex[:22]}")
    created_at: int = field(default_factory=lambda: int(time.time()))
    size: int = 0
    lines: int = 0
    ready_at: float = 0.0
    """In seconds since 1970."""

    @property
    def ready(self) -> bool:
        """Whether a batch may be created of it."""
        return time.time() >= self.ready_at

    def public(self) -> dict[str, Any]:
        """OpenAI's File object."""
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.filename,
            "bytes": self.size,
            "created_at": self.created_at,
            "expires_at": self.created_at + LIFETIME,
            "status": "processed" if self.ready else "pending",
            "status_details": None,
        }


class FileWriter:
    """A file that is being written. Not in the store before it is added."""

    def __init__(self, file: StoredFile) -> None:
        self.file = file
        self._out: BinaryIO = file.path.open("wb")
        self._last = b"\n"

    def write(self, piece: bytes) -> None:
        """Add this to its end."""
        self._out.write(piece)
        self.file.size += len(piece)
        # A new line begins where a piece goes on after a line break.
        self.file.lines += piece.count(b"\n", 0, -1) + (self._last == b"\n") if piece else 0
        self._last = piece[-1:] or self._last

    def close(self) -> None:
        """No more comes."""
        self._out.close()

    def discard(self) -> None:
        """It is not wanted."""
        self._out.close()
        self.file.path.unlink()


class FileStore:
    """The files by id, oldest first, in a folder of their own."""

    def __init__(self) -> None:
        self.files: dict[str, StoredFile] = {}
        self._folder: Path | None = None

    def writer(self, filename: str, purpose: str) -> FileWriter:
        """A new file, to be written."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="fake-vlm-"))
        return FileWriter(StoredFile(self._folder / uuid.uuid4().hex, filename, purpose))

    def add(self, writer: FileWriter) -> StoredFile:
        """The file is whole: keep it."""
        writer.close()
        self.files[writer.file.id] = writer.file
        return writer.file

    def remove(self, id: str) -> None:
        """Delete a file. Who has it open reads on."""
        self.files.pop(id).path.unlink()

    def close(self) -> None:
        """Delete all."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
