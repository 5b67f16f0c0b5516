"""Where names in the config become code: a new extractor, captioner or export of ours is one line here.

A user's own are found by entry point or dotted path: see `regioncap/config/plugin_names.py` for the names,
`regioncap/plugin_loading.py` for how they are found, and `regioncap/plugins.py` for the contracts.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from regioncap.captioners.base import Captioner, CaptionerOptions
from regioncap.config.model import RegionCapConfig
from regioncap.config.plugin_names import CAPTIONER, EXPORT, EXTRACTOR
from regioncap.plugin_loading import Plugin, find_plugin

if TYPE_CHECKING:
    from regioncap.vision.plugin_finder import PluginFinder

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
"""Finders of ours whose regions have a score, so that `min_score` has an effect."""

CAPTIONERS = {
    "openai": "regioncap.captioners.vlm:OpenAICaptioner",
    "vllm": "regioncap.captioners.vllm_server:VllmCaptioner",
    "pixels": "regioncap.captioners.pixels:PixelsCaptioner",
}
"""Captioners by name: classes with the contract of `regioncap.captioners.base.Captioner`, made from
`CaptionerOptions`."""

FILE_CAPTIONER = "regioncap.captioners.file_captioner:FileCaptioner"
"""In the place of `openai`, where requests go into files."""


@dataclass(frozen=True)
class ExportFormat:
    """What an output can be exported to. `entry`: a function with the contract of `regioncap.exports.base.Export`;
    `ending`: what it puts behind the output's name; `folder`: whether it writes several files; `plugin`: the user's
    own, which is its own entry."""

    entry: str
    ending: str
    folder: bool = False
    plugin: Plugin | None = None


EXPORTS = {
    "coco": ExportFormat("regioncap.exports.coco:write_coco", ".coco.json"),
    "parquet": ExportFormat("regioncap.exports.parquet:write_parquet", ".parquet"),
    "llava": ExportFormat("regioncap.exports.llava:write_llava", ".llava.json"),
    "csv": ExportFormat("regioncap.exports.csv_table:write_csv", ".csv"),
    "hf": ExportFormat("regioncap.exports.hf:write_hf", ".hf", folder=True),
    "wds": ExportFormat("regioncap.exports.wds:write_wds", ".wds", folder=True),
}


def load(entry: str) -> Any:
    """What an entry of a table above names; imported late, since some are heavy."""
    module, name = entry.split(":")
    return getattr(import_module(module), name)


def make_captioner(options: CaptionerOptions) -> Captioner:
    """The captioner that the config asks for. Raises UsageError when this machine cannot have it."""
    config = options.config
    if config.own_captioner:
        from regioncap.captioners.plugin_captioner import PluginCaptioner

        return PluginCaptioner(find_plugin(CAPTIONER, config.captioner), options)
    entry = FILE_CAPTIONER if config.delivery == "file" else CAPTIONERS[config.captioner_name]
    captioner: Captioner = load(entry)(options)
    return captioner


def make_finder(config: RegionCapConfig) -> PluginFinder | None:
    """The region finder that is the user's own; None for one of ours. Raises UsageError."""
    if not config.own_extractor:
        return None
    from regioncap.vision.plugin_finder import PluginFinder  # no command should wait for it that reads no pictures

    return PluginFinder(find_plugin(EXTRACTOR, config.extractor), config.extractor_options)


def export_format(name: str) -> ExportFormat:
    """What an output is exported to by `name`. Raises UsageError, ConfigError."""
    if name in EXPORTS:
        return EXPORTS[name]
    plugin = find_plugin(EXPORT, name)
    return ExportFormat(name, plugin.attribute("ending", ".export"), plugin.attribute("folder", False), plugin)


def plugin_parts(config: RegionCapConfig) -> dict[str, dict[str, Any]]:
    """The key parts of the config's plugins by kind: equal where two processes have the same. Raises UsageError."""
    own = [(EXTRACTOR, config.extractor, config.own_extractor), (CAPTIONER, config.captioner, config.own_captioner)]
    return {kind.setting: find_plugin(kind, name).key_parts() for kind, name, is_own in own if is_own}
