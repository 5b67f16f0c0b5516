"""Where names in the config become code: a new extractor or captioner is one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from regioncap.captioners.base import Captioner, CaptionerOptions

EXTRACTORS = {
    "edges": "regioncap.vision.extraction:edges",
    "canny": "regioncap.vision.contours:canny",
    "adaptive": "regioncap.vision.contours:adaptive",
}
"""How regions are found: `(image HxWx3 uint8 BGR) -> boxes (N, 4) int xywh, best first`.

More on them in `regioncap/vision/extraction.py`."""

SIZE_FREE = ("edges",)
"""Finders that do not mind the size at which they are given a picture, so that a JPEG need not be decoded whole."""

SCORED = ("edges",)
"""Finders whose regions have a score, so that `min_score` has an effect."""

CAPTIONERS = {
    "openai": "regioncap.captioners.vlm:OpenAICaptioner",
    "vllm": "regioncap.captioners.vllm_server:VllmCaptioner",
    "pixels": "regioncap.captioners.pixels:PixelsCaptioner",
}
"""Captioners by name: classes with the contract of `regioncap.captioners.base.Captioner`, made from
`CaptionerOptions`."""

EXPORTS = {
    "coco": ("regioncap.exports.coco:write_coco", ".coco.json"),
    "parquet": ("regioncap.exports.parquet:write_parquet", ".parquet"),
    "llava": ("regioncap.exports.llava:write_llava", ".llava.json"),
    "csv": ("regioncap.exports.csv_table:write_csv", ".csv"),
    "hf": ("regioncap.exports.hf:write_hf", ".hf"),
    "wds": ("regioncap.exports.wds:write_wds", ".wds"),
}
"""What an output can be exported to: a function with the contract of `regioncap.exports.base.Export`, and what it puts
behind the output's name."""


def load(entry: str) -> Any:
    """What an entry of a table above names; imported late, since some are heavy."""
    module, name = entry.split(":")
    return getattr(import_module(module), name)


def make_captioner(options: CaptionerOptions) -> Captioner:
    """The captioner that the config asks for. Raises UsageError when this machine cannot have it."""
    captioner: Captioner = load(CAPTIONERS[options.config.captioner_name])(options)
    return captioner
