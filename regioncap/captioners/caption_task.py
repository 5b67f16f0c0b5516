"""What a captioner of the user's is given: one picture with numbered regions, and the words to ask with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from regioncap.vision.boxes import clip_xywh
from regioncap.vision.images import decode

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CaptionTask:
    """One picture whose `regions` need a caption each.

    `name`: identifies the row in messages. `regions`: the numbers (from 1) to caption. `bbox`: of all of the picture's
    regions, (N, 4) xywh in pixels of the picture as displayed, which has `width` x `height`; region n at index n - 1.
    `prompt`, `system_prompt`: the config's, filled in for this row. `fields`: the row's keys that the prompts name.
    `region_fields`: per region what is known of it, such as `label` and `score`. `again`: these regions have a caption
    that does not satisfy.

    The pictures are read when they are asked for; that raises RowReject, which may pass through.
    """

    name: str
    regions: tuple[int, ...]
    bbox: Sequence[Sequence[float]]
    width: int
    height: int
    read_image: Callable[[], bytes]
    read_marked: Callable[[], bytes]
    prompt: str = ""
    system_prompt: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    region_fields: Sequence[Mapping[str, Any]] = ()
    again: bool = False
    max_image_pixels: int = 1 << 28

    @cached_property
    def image_bytes(self) -> bytes:
        """The picture as it was given, in any format."""
        return self.read_image()

    @cached_property
    def marked_jpeg(self) -> bytes:
        """A JPEG of the picture with the numbered marks of `regions` (and maybe of others), scaled to max_pixels."""
        return self.read_marked()

    @cached_property
    def pixels(self) -> Pixels:
        """The picture as displayed, without marks: `height` x `width` x 3 uint8, RGB."""
        image = decode(self.image_bytes, max_image_pixels=self.max_image_pixels)
        return np.ascontiguousarray(image[..., ::-1])

    def crop(self, number: int, margin: float = 0.0) -> Pixels:
        """The pixels of region `number` (from 1), at least 1x1, RGB; `margin`: its width and height in addition, as a
        share of them, on each side."""
        x, y, w, h = self.bbox[number - 1]
        wider = [x - margin * w, y - margin * h, w * (1 + 2 * margin), h * (1 + 2 * margin)]
        left, top, w, h = clip_xywh(wider, self.width, self.height)
        x0, y0 = min(int(left), self.width - 1), min(int(top), self.height - 1)
        x1, y1 = max(x0 + 1, round(left + w)), max(y0 + 1, round(top + h))
        return self.pixels[y0:y1, x0:x1].copy()
