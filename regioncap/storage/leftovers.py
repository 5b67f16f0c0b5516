"""What killed runs leave on disk: temporary files, and folders of them.

They may go when they are older than a day and nobody holds them: whoever writes a temporary file for long, or uses a
folder of them, has it locked, and the kernel unlocks what a killed process held. They can be in few places, which are
known, so that looking for them costs little however large a cache is.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from regioncap.storage.filesystem import Place, path_of
from regioncap.storage.kernel_lock import is_free

MIN_AGE_SECONDS = 24 * 3600.0

MAX_NAMES = 100_000
"""So many names are looked at, in a tenth of a second; in a larger cache those of other folders each time."""

CUT_OFF = re.compile(r"\..+\.[0-9a-f]{32}\.part")
"""Names of files whose writing was cut off; see `regioncap.storage.atomic_write`."""

_TEMPORARY = re.compile(rf"{CUT_OFF.pattern}|[0-9a-f]{{32}}\.probe")
_SCRATCH = re.compile(r"regioncap-(images|vllm|upload|batch)-[a-z0-9_]{8}")
_CACHE_FOLDER = re.compile(r".+_(step[0-6]|runs)|captions|marks|images|dask|batches")
_MANY = ("captions", "marks", "images")
"""Folders of a cache whose files are in folders of two letters."""


@dataclass(frozen=True)
class Leftover:
    """A file, or a folder of files, that a killed run left. `bytes`: of a file."""

    path: Path
    bytes: int

    def remove(self) -> None:
        """Remove it, as far as that is possible."""
        with contextlib.suppress(OSError):
            if self.path.is_dir():
                shutil.rmtree(self.path, ignore_errors=True)
            else:
                self.path.unlink()


def in_cache(cache: Place) -> Iterator[Leftover]:
    """The leftovers in a cache; none where it is not on disk."""
    if cache.is_local:
        yield from _found_in(_cache_folders(path_of(cache)), lambda name: bool(_TEMPORARY.fullmatch(name)))


def beside(folders: Iterable[Place], stem: str) -> Iterator[Leftover]:
    """The leftovers in these folders of files whose names begin with `stem`."""
    start = f".{stem[:80]}"
    on_disk = [path_of(folder) for folder in folders if folder.is_local]
    yield from _found_in(on_disk, lambda name: name.startswith(start) and CUT_OFF.fullmatch(name) is not None)


def in_temporary_folder() -> Iterator[Leftover]:
    """The leftovers in the system's folder for temporary files, of this user."""
    yield from _found_in([tempfile.gettempdir()], lambda name: _SCRATCH.fullmatch(name) is not None)


def _cache_folders(cache: str) -> Iterator[str]:
    for name in _names(cache):
        if _CACHE_FOLDER.fullmatch(name):
            yield f"{cache}/{name}"
    inner = [f"{cache}/{kind}/{name}" for kind in _MANY for name in _names(f"{cache}/{kind}") if len(name) == 2]
    random.shuffle(inner)
    yield from inner


def _names(folder: str) -> Iterator[str]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name


def _found_in(folders: Iterable[str], may_be: Callable[[str], bool]) -> Iterator[Leftover]:
    left = itertools.count(MAX_NAMES, -1)
    for folder in folders:
        names = [name for name in itertools.takewhile(lambda _: next(left) > 0, _names(folder)) if may_be(name)]
        yield from _leftovers_among(folder, names)


def _leftovers_among(folder: str, names: list[str]) -> Iterator[Leftover]:
    now = _now_in(folder) if names else 0.0
    for path in (Path(folder, name) for name in names):
        with contextlib.suppress(OSError):  # it is gone, or may not be opened
            found = path.lstat()
            if found.st_uid == os.geteuid() and now - found.st_mtime > MIN_AGE_SECONDS and is_free(path):
                yield Leftover(path, found.st_size)


def _now_in(folder: str) -> float:
    """The time by the clock that files in the folder have their times from: on a share, its server's."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # nothing can be removed there either
        return 0.0
