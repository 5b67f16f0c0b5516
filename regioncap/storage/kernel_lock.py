"""Locks on files of a local disk that the kernel ends with their process, in whatever way that ends.

Over NFS they hold between hosts, too, unless the share is mounted with `nolock` or `local_lock`.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from pathlib import Path

from regioncap.errors import RegionCapError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)

_locked: set[int] = set()
"""Descriptors of the files that this process has locked."""


class LocksUnsupported(RegionCapError):
    """This filesystem, or operating system, has no kernel locks."""


def lock(path: Path, *, append: bool = False) -> int | None:
    """Lock the file at `path`, which is made if needed; returns its descriptor, None when another has locked it.

    `append`: whatever is written to it goes to its end. Two locks in one process exclude each other, too. Raises
    LocksUnsupported, OSError.
    """
    if fcntl is None:
        raise LocksUnsupported
    while True:
        file = _open(path, os.O_APPEND if append else 0)
        try:
            locked = try_lock(file)
        except BaseException as error:
            os.close(file)
            if isinstance(error, LocksUnsupported):
                path.unlink(missing_ok=True)  # it is of no use
            raise
        if locked and is_at(file, path):
            _close_in_children()
            _locked.add(file)
            return file
        os.close(file)
        if not locked:
            return None
        # The file was removed between our opening and our locking it, by the one who had locked it.


def try_lock(file: int) -> bool:
    """Lock an open file, until it is closed; False when another has locked it. Raises LocksUnsupported, OSError."""
    if fcntl is None:
        raise LocksUnsupported
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise LocksUnsupported from None
        raise
    return True


def hold(file: int) -> None:
    """Lock an open file, until it is closed, as far as that is possible."""
    with contextlib.suppress(OSError, LocksUnsupported):
        try_lock(file)


def is_free(path: Path) -> bool:
    """Whether no process has locked the file or folder at `path`, as far as that can be seen. Raises OSError."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        return try_lock(file)
    except LocksUnsupported:
        return True
    finally:
        os.close(file)


def _open(path: Path, more: int) -> int:
    flags = os.O_RDWR | os.O_CREAT | more | getattr(os, "O_NOFOLLOW", 0)
    try:
        file = os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, flags, 0o666)
    except IsADirectoryError:  # a holder on another host found no locks
        raise LocksUnsupported from None
    with contextlib.suppress(OSError):
        # Whoever may write in this folder takes over from a killed run, whosever it was; and nobody else.
        os.fchmod(file, 0o666 & path.parent.stat().st_mode)
    return file


def is_at(file: int, path: Path) -> bool:
    """Whether an open file still is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def unlock(file: int) -> None:
    """Unlock and close a file that `lock` gave."""
    _locked.discard(file)
    fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a child has it open
    os.close(file)


@functools.cache
def _close_in_children() -> None:
    """A forked process would keep our locks for as long as it lives; other children never get the files."""
    os.register_at_fork(after_in_child=_close_all)


def _close_all() -> None:
    for file in _locked:
        os.close(file)
    _locked.clear()
