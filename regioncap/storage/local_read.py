"""Files on disk: regular ones only, wherever links lead."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from regioncap.storage.allowed_images import AllowedImages
from regioncap.storage.collecting import Collector, NotReadable
from regioncap.storage.time_limit import Deadline

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextlib.contextmanager
def opened_file(path: str, allowed: AllowedImages) -> Iterator[tuple[int, int]]:
    """(descriptor, size in bytes) of a regular file that is allowed.

    Nothing else is opened: to open a device may set it off, and to open a FIFO waits for a writer. Raises NotReadable,
    ImageRefused, OSError, ValueError.
    """
    if allowed.rules.strict:
        allowed.check_file(os.path.realpath(path))  # also of what is not there, which is nobody's business
    _check_regular(os.stat(path).st_mode)  # noqa: PTH116 - a Path costs more than the call
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        _check_regular(found.st_mode)  # it may be another by now
        allowed.check_file(_real_path(file, path))
        yield file, found.st_size
    finally:
        os.close(file)


def read_local(path: str, allowed: AllowedImages, collector: Collector) -> bytes:
    """All bytes of a file. Raises as `opened_file`, and OutOfTime."""
    with opened_file(path, allowed) as (file, size):
        collector.check_size(size)
        data = os.read(file, size)
        if size and len(data) == size:
            return data
        # Some files of the system have no size, and never end.
        rest = collector.collect(lambda most: os.read(file, most), Deadline(collector.limits.seconds))
        return collector.checked(data + rest)


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((words for test, words in _KINDS if test(mode)), "no file")
        raise NotReadable("image_unreadable", f"is {kind}; expected an image file")


def _real_path(file: int, path: str) -> str:
    """Where an open file really is, whatever links led to it."""
    try:
        return os.readlink(f"/proc/self/fd/{file}")  # noqa: PTH115 - one call, where resolving takes one a folder
    except OSError:
        return os.path.realpath(path)
