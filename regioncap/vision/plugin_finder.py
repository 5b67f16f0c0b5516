"""A region finder of the user's: how it is made, and how it is called for each picture."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from regioncap.errors import RowReject, UsageError
from regioncap.plugin_loading import Plugin
from regioncap.row_work import plugin_work
from regioncap.vision.found_regions import Found, WrongReturn, found_in

Pixels = npt.NDArray[np.uint8]


class PluginFinder:
    """See `regioncap.plugins.Finder` for the contract. Made once a process; called from many threads.

    `options`: those of the config, for the class when it is made, or for each call of a function.
    """

    def __init__(self, plugin: Plugin, options: Mapping[str, Any]) -> None:
        self.plugin = plugin
        self._options = options
        self.long_side = plugin.attribute("long_side", 0) or None
        """Maximum long side (px) of the pictures that it wants; None: as they are."""
        if self.long_side is not None and self.long_side < 1:
            raise UsageError(f"{plugin.title}: expected its attribute long_side to be pixels, got {self.long_side}")
        self._turn: contextlib.AbstractContextManager[Any] = (
            contextlib.nullcontext() if plugin.attribute("thread_safe", True) else threading.Lock()
        )
        self._making = threading.Lock()
        self._find: Any = None

    def prepare(self) -> None:
        """Make it, if that was not done yet. Raises UsageError when that fails."""
        with self._making:
            if self._find is None:
                self.plugin.check_options(self._options, np.zeros((1, 1, 3), np.uint8))
                made = self.plugin.make(self._options)
                called = getattr(made, "__call__", None) if inspect.isclass(self.plugin.target) else made  # noqa: B004
                self.plugin.check_called(called, "__call__(self, image)")
                self._find = made

    def find(self, image: Pixels, full_size_wh: tuple[int, int], *, max_boxes: int, min_score: float) -> Found:
        """The regions of `image`, HxWx3 uint8 BGR, in pixels of the full-size picture.

        Raises RowReject `internal_error` for whatever the plugin raises and for what is no regions; its own RowRejects.
        """
        self.prepare()
        height, width = image.shape[:2]
        with plugin_work(self.plugin.title, self.plugin.module), self._turn:
            # A copy: the pixels may be drawn on afterwards, and a plugin may write into what it gets.
            returned = self._find(np.ascontiguousarray(image[..., ::-1]))
            try:
                return found_in(returned, (width, height), full_size_wh, max_boxes=max_boxes, min_score=min_score)
            except WrongReturn as wrong:
                raise RowReject("internal_error", f"{self.plugin.title} returned {wrong}") from None
