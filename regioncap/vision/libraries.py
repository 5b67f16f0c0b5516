"""OpenCV and Pillow as a run needs them: one thread an image, and no lines of their own on stderr."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress

import cv2

from regioncap.process import shared

SILENT = 0
"""OpenCV's LOG_LEVEL_SILENT."""

_set_log_level: Callable[[int], int] = (
    cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel  # OpenCV 4, OpenCV 5
)


@shared
def image_libraries() -> Iterator[None]:
    """In `with image_libraries:` OpenCV works on one thread, and neither library writes to stderr.

    Steps decode in a pool of threads, one image a thread: 1.72 times the speed on two cores. OpenCV's own threads on
    top of that cost 7-14 % more CPU for nothing. A picture that cannot be decoded is named in its reject; the decoders'
    own lines name none.
    """
    threads = cv2.getNumThreads()
    log_level = _set_log_level(SILENT)
    cv2.setNumThreads(1)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    ignored = warnings.filters[0]
    try:
        yield
    finally:
        with suppress(ValueError):  # somebody has reset the filters meanwhile
            warnings.filters.remove(ignored)  # type: ignore[attr-defined]
        cv2.setNumThreads(threads)
        _set_log_level(log_level)
