"""What a folder holds, one entry at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple


class Item(NamedTuple):
    """A name in a folder. `kind`: "file", "directory", or what else it is ("link", "other"). `size`: bytes.
    `changed_at`: seconds since 1970."""

    name: str
    kind: str
    size: int
    changed_at: float


def items_on_disk(folder: str) -> Iterator[Item]:
    """All that lies directly in a folder on disk; links are not followed. Raises OSError for the folder itself."""
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # removed meanwhile
                continue
            yield Item(entry.name, _kind(entry), found.st_size, found.st_mtime)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir():
        return "directory"
    return "file" if entry.is_file() else "other"
