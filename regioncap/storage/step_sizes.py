"""The sizes of step files, in S3 from one page of a listing for each step instead of a request for each file."""

from __future__ import annotations

import threading
from typing import Any

from regioncap.errors import StorageError
from regioncap.storage.filesystem import Place
from regioncap.storage.s3_pages import S3Page, list_page


class StepSizes:
    """Looks step files up for one run: what is there stays as it is, and what is removed meanwhile is missed when it is
    read. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listed: dict[str, dict[str, int]] = {}

    def has(self, folder: Place, name: str, size: int) -> bool:
        """Whether a step's folder has a file of that size in bytes. Raises StorageError."""
        # What is not on the page may be on the next, or was written since.
        return (not folder.is_local and self._of(folder).get(name) == size) or folder.child(name).size() == size

    def _of(self, folder: Place) -> dict[str, int]:
        with self._lock:
            if folder.address not in self._listed:
                self._listed[folder.address] = _first_page(folder)
            return self._listed[folder.address]


def _first_page(folder: Place) -> dict[str, int]:
    def page_of(fs: Any, bucket: str, key: str) -> S3Page:
        return list_page(fs, bucket, f"{key}/")

    try:
        page = folder.call_s3(page_of, "list")
    except (StorageError, FileNotFoundError):  # not allowed to list, or nothing there
        return {}
    return {item.key.rpartition("/")[2]: item.size for item in page.objects} if page is not None else {}
