"""Whole files or none on a local disk."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from regioncap.storage.kernel_lock import hold


@contextlib.contextmanager
def renamed_into_place(path: Path, durable: bool) -> Iterator[IO[bytes]]:
    """A temporary file beside `path` that is renamed to it when the block succeeds; `regioncap.storage.leftovers` knows
    its name."""
    part = path.with_name(f".{path.name[:80]}.{uuid.uuid4().hex}.part")
    try:
        file = part.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("xb")
    try:
        with file:
            if durable:  # others are written in no time
                hold(file.fileno())
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
