"""What lies in the folders of step files: in S3 from pages of listings, instead of a request for each file."""

from __future__ import annotations

import bisect
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from regioncap.errors import StorageError
from regioncap.storage.filesystem import Place
from regioncap.storage.s3_pages import S3Page, list_page


@dataclass(frozen=True)
class _Page:
    """Part of a folder's listing: the names behind `after`, in order, up to and including `last` (None: to the end),
    and their sizes in bytes."""

    after: str
    last: str | None
    names: list[str]
    sizes: list[int]

    def covers(self, key: str) -> bool:
        """Whether all files of a key are here that there are."""
        return self.after < f"{key}-" and (self.last is None or f"{key}.json" <= self.last)

    def of(self, key: str) -> dict[str, int]:
        """Names and sizes of the files of a key."""
        start, end = bisect.bisect_left(self.names, f"{key}-"), bisect.bisect_right(self.names, f"{key}.json")
        return dict(zip(self.names[start:end], self.sizes[start:end], strict=True))


class StepFiles:
    """Looks step files up for one run: what is there stays as it is, and what is removed meanwhile is missed when it is
    read. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: defaultdict[str, list[_Page]] = defaultdict(list)
        self._not_listed: set[str] = set()

    def has(self, folder: Place, key: str, name: str, size: int) -> bool:
        """Whether a step's folder has this file of a key, of that size in bytes. Raises StorageError."""
        # What is not on a page may have been written since.
        return (self.of_key(folder, key) or {}).get(name) == size or folder.child(name).size() == size

    def of_key(self, folder: Place, key: str) -> dict[str, int] | None:
        """Names and sizes of all files of a key: its manifest, its step file, and those that it had before. None where
        that would take more than a listing: on a disk, too."""
        if folder.is_local:
            return None
        with self._lock:
            pages = self._pages[folder.address]
            # The first page has all of most folders; those that follow begin at keys, so there are no more than keys.
            for after in [key] if pages else ["", key]:
                if _covering(pages, key) is None and folder.address not in self._not_listed:
                    page = _listed(folder, after)
                    if page is None:
                        self._not_listed.add(folder.address)
                    else:
                        pages.append(page)
            covering = _covering(pages, key)
        return covering.of(key) if covering is not None else None


def _covering(pages: list[_Page], key: str) -> _Page | None:
    return next((page for page in pages if page.covers(key)), None)


def _listed(folder: Place, after: str) -> _Page | None:
    """The page of a folder's listing that begins behind `after`; None where the store does not list."""

    def page_of(fs: Any, bucket: str, path: str) -> S3Page:
        return list_page(fs, bucket, f"{path}/", after=f"{path}/{after}" if after else "")

    try:
        page = folder.call_s3(page_of, "list")
    except (StorageError, FileNotFoundError):  # not allowed to list, or nothing there
        return None
    if page is None:
        return None
    names = [item.key.rpartition("/")[2] for item in page.objects]
    if names != sorted(names):
        return None
    last = (names[-1] if names else after) if page.next else None
    return _Page(after, last, names, [item.size for item in page.objects])
