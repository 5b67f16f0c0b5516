"""Finds the files below a folder, or those that match a glob, in one listing; what it passes over is counted.

Hidden are names that begin with `.`, and folders and markers (`_SUCCESS`, without an extension) that begin with `_`. A
photo's name may begin with `_`: cameras write `_DSC0001.JPG`.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

HIDDEN, BROKEN_LINK, LOOP, UNREADABLE, NOT_REGULAR = (
    "hidden",
    "broken links",
    "links back to a folder above",
    "unreadable folders",
    "not regular files",
)

MAX_LINKS = 4
"""Linked folders within linked folders that are followed: folders that link to each other have paths without end."""


@dataclass
class FoundFiles:
    """`names`: paths below the folder, or below a glob's fixed part, sorted. `skipped`: how many files, or links, were
    passed over, by kind."""

    names: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


class _Folder(NamedTuple):
    """A folder to be listed: its path, the path below the first one with a slash, and how many links led there."""

    path: str
    below: str = ""
    hidden: bool = False
    links: int = 0


def find_on_disk(folder: str) -> FoundFiles:
    """The files below a folder on disk. Links are followed, to files and folders: a file that can be reached by several
    paths is found by each. A link to a folder that it lies in is not followed. Raises OSError for `folder` itself."""
    found = FoundFiles()
    pending = _list_folder(_Folder(folder), found)
    while pending:
        try:
            pending += _list_folder(pending.pop(), found)
        except OSError:
            found.skipped[UNREADABLE] += 1
    found.names.sort()
    return found


def _list_folder(folder: _Folder, found: FoundFiles) -> list[_Folder]:
    """Add the files directly in a folder; returns its folders. Only links cost a request to the disk each."""
    folders = []
    with os.scandir(folder.path) as entries:
        for entry in entries:
            name = folder.below + entry.name
            hidden = folder.hidden or entry.name.startswith(".")
            linked = entry.is_symlink()
            if entry.is_dir(follow_symlinks=not hidden):
                links = folder.links + linked
                if linked and (links > MAX_LINKS or _contains(entry.path, folder.path)):
                    found.skipped[LOOP] += 1
                else:
                    hidden = hidden or entry.name.startswith("_")
                    folders.append(_Folder(entry.path, f"{name}/", hidden, links))
            elif hidden or _is_marker(entry.name):
                found.skipped[HIDDEN] += 1
            elif entry.is_file():
                found.names.append(name)
            else:
                found.skipped[BROKEN_LINK if linked else NOT_REGULAR] += 1
    return folders


def _contains(link: str, folder: str) -> bool:
    """Whether `folder` is, or lies in, the folder that `link` leads to."""
    outer = os.path.realpath(link)
    return f"{os.path.realpath(folder)}/".startswith(f"{outer}/".replace("//", "/"))


def find_in_store(fs: Any, folder: str) -> FoundFiles:
    """The files below a folder of an fsspec filesystem."""
    return _visible(fs.find(folder), folder)


def find_matches(fs: Any, pattern: str, folder: str, on_disk: bool) -> FoundFiles:
    """The files that match a glob, whose fixed part is `folder`."""
    found = fs.glob(pattern, detail=True)
    if on_disk:  # fsspec does not say where a link leads
        return _visible([path for path in found if Path(path).is_file()], folder)
    return _visible([path for path, item in found.items() if item["type"] == "file"], folder)


def _visible(paths: list[str], folder: str) -> FoundFiles:
    """The files at `paths` below `folder` without hidden ones."""
    found = FoundFiles()
    start = len(folder.rstrip("/"))
    for path in sorted(paths):
        name = path[start:].lstrip("/")
        if _is_hidden(name):
            found.skipped[HIDDEN] += 1
        else:
            found.names.append(name)
    return found


def _is_hidden(name: str) -> bool:
    *folders, last = name.split("/")
    return last.startswith(".") or _is_marker(last) or any(part.startswith((".", "_")) for part in folders)


def _is_marker(name: str) -> bool:
    return name.startswith("_") and "." not in name
