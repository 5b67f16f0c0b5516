"""The pictures of an output's rows, looked up in every place where they may be."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from regioncap.errors import RowReject, UsageError
from regioncap.image_ref import ImageRef
from regioncap.inputs.readers import input_root
from regioncap.output.join import marks_folder
from regioncap.output.outputs import is_parts_folder
from regioncap.output.reading import Captioned, Written
from regioncap.storage.bounded_read import reader_of
from regioncap.storage.filesystem import Filesystems, Place
from regioncap.storage.images import ImageFiles
from regioncap.storage.row_images import RowImages
from regioncap.storage.urls import is_url

LISTINGS_AT_ONCE = 16
MAX_FOLDERS = 1024
"""Folders of marked pictures that are listed; a cache has 256."""

_MARKED = re.compile(r"[0-9a-f]{64}\.jpg")


class Pictures:
    """Reads images by the names that rows have: from where the run found them, else from beside the output.

    A run's relative paths start at its working directory; its output may be read from another one later.
    """

    def __init__(self, written: Written, files: Filesystems) -> None:
        self._files = files
        self._beside = _beside(written)
        roots = dict.fromkeys((*_roots(written, files), self._beside.address))
        reader = reader_of(written.settings, files, roots)
        row_images = RowImages(*_caches(written, files, self._beside))
        self._images = [ImageFiles(root, files, reader, row_images=row_images) for root in roots]

    def read(self, image: ImageRef) -> bytes:
        """An image's bytes. Raises RowReject as `ImageFiles.read` does, naming where the run found the image."""
        first: RowReject | None = None
        for images in self._images:
            try:
                return images.read(image)
            except RowReject as reject:
                first = first or reject
        assert first is not None
        raise first

    def marked(self, row: Captioned) -> bytes | None:
        """The bytes of a row's marked picture; None when none was kept or it cannot be read."""
        name = str(row.meta.get("image_with_bbox", ""))
        return _read(self._place(name)) if name else None

    def missing_marks(self, rows: Iterable[Captioned]) -> tuple[int, int]:
        """(how many of the rows' marked pictures are not in the cache any more, how many they name). By one listing a
        folder, so that it is fast in an object store, too. Raises StorageError."""
        folders: defaultdict[str, set[str]] = defaultdict(set)
        for row in rows:
            folder, _, name = str(row.meta.get("image_with_bbox", "")).rpartition("/")
            if _MARKED.fullmatch(name) and (folder in folders or len(folders) < MAX_FOLDERS):
                folders[folder].add(name)
        with ThreadPoolExecutor(LISTINGS_AT_ONCE) as pool:
            there = pool.map(lambda folder: {item.name for item in self._place(folder).items() if item.size}, folders)
            missing = sum(len(names - found) for names, found in zip(folders.values(), there, strict=True))
        return missing, sum(map(len, folders.values()))

    def _place(self, name: str) -> Place:
        return self._files.place(name) if is_url(name) or name.startswith("/") else self._beside.child(name)


def image_root_of(written: Written, files: Filesystems, row: Captioned) -> str | None:
    """The folder or URL from which the image of `row` can be read; None if there is none."""
    for root in dict.fromkeys((*_roots(written, files), _beside(written).address)):
        with contextlib.suppress(RowReject):
            row_images = RowImages(*_caches(written, files, _beside(written)))
            images = ImageFiles(root, files, reader_of(written.settings, files, [root]), row_images=row_images)
            with contextlib.closing(images):
                images.read(row.ref)
            return root
    return None


def _beside(written: Written) -> Place:
    """The folder that the output lies in."""
    return written.place if is_parts_folder(written.place.address) else written.place.parent


def _roots(written: Written, files: Filesystems) -> Iterator[str]:
    if written.settings.image_root:
        yield written.settings.image_root
    with contextlib.suppress(UsageError):
        source = written.settings.input
        root = input_root(written.settings, files)
        # If the input is gone, only its name can tell whether it was a file.
        gone = root.rstrip("/") == source.rstrip("/") and "." in source.rstrip("/").rpartition("/")[2]
        yield files.place(source).parent.address if gone else root


def _caches(written: Written, files: Filesystems, beside: Place) -> Iterator[Place]:
    """Where the run's cache may be: where it was, and where it is as seen from the output."""
    yield files.place(written.settings.cache_path)
    marks = marks_folder(written.settings)
    if not is_url(marks) and not marks.startswith("/"):
        yield beside.child(marks).parent


def _read(place: Place) -> bytes | None:
    with contextlib.suppress(Exception):  # a picture that cannot be read is shown as missing
        return place.read()
    return None
