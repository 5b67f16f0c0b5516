"""Rows of an output with their images, for the exports that carry them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from regioncap.exports.base import ExportOptions, ExportResult
from regioncap.output.reading import Captioned
from regioncap.vision.images import read_info

T = TypeVar("T")

READ_AHEAD = 16
"""Images that are read at the same time."""

NO_LIMIT = 1 << 62
ENDINGS = {"JPEG": "jpg", "JPEG2000": "jp2", "TIFF": "tif"}

Make = Callable[[Captioned, bytes, str], T]
"""Makes what is written of a row, its image's bytes and the ending of its image's name: `jpg`."""


def with_images(rows: Iterator[Captioned], setting: ExportOptions, done: ExportResult, make: Make[T]) -> Iterator[T]:
    """What `make` makes of each row and its image, wherever that is; in order, some of it ahead.

    Rows whose image cannot be read, or for which `make` fails, are left out and counted in `done`.
    """

    def read(row: Captioned) -> T:
        data = setting.read_image(row.ref)
        kind = read_info(data, max_image_pixels=NO_LIMIT).format
        return make(row, data, ENDINGS.get(kind, kind.lower()))

    ahead: deque[tuple[Captioned, Future[T]]] = deque()
    with ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="export") as pool:
        for row in chain(rows, [None]):
            if row is not None:
                ahead.append((row, pool.submit(read, row)))
            while ahead and (row is None or len(ahead) >= READ_AHEAD):
                first, reading = ahead.popleft()
                made = done.made(first, reading.result)
                if made is not None:
                    yield made
