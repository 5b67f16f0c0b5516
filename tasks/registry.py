"""Where names in the config become code: a new extractor or captioner is one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tasks.captioners.base import Captioner
from tasks.config import RegionCapConfig
from tasks.errors import UsageError

EXTRACTORS = {
    "edges": "tasks.vision.extraction:edges",
    "canny": "tasks.vision.extraction:canny",
    "adaptive": "tasks.vision.extraction:adaptive",
}
"""How regions are found: `(image HxWx3 uint8 BGR) -> boxes (N, 4) int xywh, best first`."""

CAPTIONERS = {
    "pixels": "tasks.captioners.pixels:PixelsCaptioner",
}
"""Who describes regions: a class with the contract of `tasks.captioners.base.Captioner`, made of the config."""


def load(entry: str) -> Any:
    """What an entry of a table above names; imported late, since some are heavy."""
    module, name = entry.split(":")
    return getattr(import_module(module), name)


def check_captioner(config: RegionCapConfig) -> None:
    """Raises UsageError when the captioner that the config asks for is not in this version."""
    if config.captioner_name not in CAPTIONERS:
        raise UsageError(
            f"captioner: {config.captioner_name!r} is not in this version yet; expected one of {', '.join(CAPTIONERS)}"
        )


def make_captioner(config: RegionCapConfig) -> Captioner:
    """The captioner that the config asks for. Raises UsageError as `check_captioner` does."""
    check_captioner(config)
    captioner: Captioner = load(CAPTIONERS[config.captioner_name])(config)
    return captioner
