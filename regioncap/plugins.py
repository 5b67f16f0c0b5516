"""What code of your own has to be, to be a region finder, a captioner or an export of RegionCap: see docs/extending.md.

A setting names it by dotted path (`extractor="my_pkg.yolo:find"`, `captioner="my_pkg.blip:Captioner"`,
`regioncap export --to my_pkg.florence:write`), or by the name of an entry point that an installed package has in the
group `regioncap.extractors`, `regioncap.captioners` or `regioncap.exports`. Our own names win over entry points.

It is a function or a class. A class is made once a process, with the options of the config as keyword arguments; a
function gets them with each call. Attributes of the function or class, all optional:

    version      text or number: raise it when the results change, so that what is cached is made again
    thread_safe  False: called by one thread at a time; else from several at once
    long_side    of a finder: maximum long side, in pixels, of the pictures that it is given
    paid         of a captioner: False if its answers need not be kept one by one; else none is ever asked for twice
    ending       of an export: what it puts behind the output's name, such as ".florence.jsonl"
    folder       of an export: True if it writes a folder

What it raises for one picture is that row's reject (`internal_error`), names it and stops no other row. It may raise
`RowReject(code, message)` with a code of its choice, and `CaptionerError` to stop the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from regioncap.captioners.caption_task import CaptionTask
from regioncap.errors import CaptionerError, RowReject
from regioncap.exports.base import Array, ExportOptions, ExportResult, Rows
from regioncap.output.reading import Captioned
from regioncap.storage.filesystem import Place
from regioncap.vision.found_regions import Regions

__all__ = [
    "Array",
    "CaptionTask",
    "Captioned",
    "Captioner",
    "CaptionerError",
    "Export",
    "ExportOptions",
    "ExportResult",
    "Finder",
    "Place",
    "Regions",
    "RowReject",
    "Rows",
]


class Finder(Protocol):
    """Finds the regions of a picture: `extractor`."""

    def __call__(self, image: npt.NDArray[np.uint8], /, **options: Any) -> npt.ArrayLike | Regions:
        """The regions of `image`, height x width x 3 uint8, RGB, as displayed; a copy that may be written into.

        Returns boxes, (N, 4) numbers: x and y of the top left corner, width, height, in pixels of `image`, best first;
        or `Regions`, which may have scores and labels, which become the region fields `score` and `label`, and another
        order of the four numbers. N may be 0 and more than `max_boxes`: the best are used. Boxes are rounded outwards
        and clipped to the picture; those that are not finite, without area or outside are dropped with that reason.
        """


class Captioner(Protocol):
    """Describes regions: `captioner`. Made as `Captioner(**captioner_options)`, with `model=` if the config has one.

    Answers of a captioner that is `paid` are kept by picture, boxes, marks, prompt, the captioner's versions and its
    `identity()`, and never asked for twice. A function `(task, **captioner_options)` will do, too.
    """

    def caption(self, task: CaptionTask) -> Sequence[str | None] | Mapping[int, str | None]:
        """The captions of `task.regions`: one text each, in that order, or a dict by region number; None for a region
        without one, which is asked for again, `max_repairs` times. Called from up to `max_in_flight` threads."""

    # Optional:
    #   model: str             the model as output rows name it; default: the config's, else the plugin's name
    #   def identity(self)     what decides the captions besides picture and prompt, as JSON values; default: model and
    #                          captioner_options
    #   def check(self)        called before a run; raises UsageError when it cannot work here
    #   def close(self)        called when the run is over


class Export(Protocol):
    """Writes an output in a format of its own: `regioncap export --to`."""

    def __call__(self, rows: Rows, out: Place, options: ExportOptions) -> ExportResult:
        """Write the rows that `rows()` yields, each time from the first on, to `out`: `with out.writer() as file` puts
        a file there when the block ends well, and nothing if it does not. Call `count(row)` of the result for each row.
        """
