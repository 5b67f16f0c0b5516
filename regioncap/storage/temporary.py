"""Temporary folders and files that nobody takes for leftovers as long as this process lives: it has them locked."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from regioncap.storage.kernel_lock import hold

Kind = Literal["images", "vllm", "upload", "batch"]


def prefix_of(kind: Kind) -> str:
    """How the names of what is made for a purpose begin, in the system's folder for temporary files."""
    return f"regioncap-{kind}-"


class TemporaryFolder:
    """A folder for temporary files, until `remove`. Raises OSError when there can be none."""

    def __init__(self, kind: Kind) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix_of(kind)))
        self._file: int | None = None
        with contextlib.suppress(OSError):  # Windows opens no folders
            self._file = os.open(self.path, os.O_RDONLY)
            hold(self._file)

    def let_go(self) -> None:
        """Leave the folder to whoever looks for leftovers, in a day."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.let_go()


@contextlib.contextmanager
def temporary_file(kind: Kind) -> Iterator[IO[bytes]]:
    """A file with a name, to write and read, that is removed when the block ends."""
    with tempfile.NamedTemporaryFile("w+b", prefix=prefix_of(kind)) as file:
        hold(file.fileno())
        yield file
