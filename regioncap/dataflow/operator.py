"""DataFlow's operator `ImageRegionCaptionGenerate`, run by RegionCap's flow."""

from __future__ import annotations

import logging
import os
import sys
from abc import ABCMeta
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regioncap.dataflow.captioners import Captioner
from regioncap.dataflow.descriptions import DESCRIPTIONS
from regioncap.dataflow.storage import FileStorage
from regioncap.errors import ConfigError, RunStopped, UsageError

if TYPE_CHECKING:
    from regioncap.config.model import RegionCapConfig
    from regioncap.dataflow.exchange import Exchange

logger = logging.getLogger("regioncap")

GIVEN_BY_NAME = frozenset({"input", "output", "image_key", "bbox_key", "output_key", "max_boxes", "draw_visualization"})
"""Settings that DataFlow's own arguments give."""

ROW_FILES = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"})
"""Formats whose rows name their images by paths; in any compression."""


@dataclass
class ExistingBBoxDataGenConfig:
    """DataFlow's settings of the operator, and `settings`: any others of RegionCap, by name.

    `input_jsonl_path`: the input in the place of the storage's step. `output_jsonl_path`: where the captions are
    written besides the next step. `draw_visualization`: whether the marked pictures are kept; the model sees the marks
    in any case.

    Raises ConfigError for what is no path and for a folder as output, and UsageError for `settings` that are arguments
    of their own.
    """

    max_boxes: int = 10
    input_jsonl_path: str | None = None
    output_jsonl_path: str | None = None
    draw_visualization: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Any) -> ExistingBBoxDataGenConfig:
        """`config`, or one with the values of DataFlow's own; the defaults for None. Raises UsageError."""
        if isinstance(config, cls):
            return config
        names = ("max_boxes", "input_jsonl_path", "output_jsonl_path", "draw_visualization")
        if config is not None and not all(hasattr(config, name) for name in names):
            raise UsageError(f"config: expected an ExistingBBoxDataGenConfig, got {type(config).__name__}")
        return cls(**{name: getattr(config, name) for name in names if config is not None})

    def __post_init__(self) -> None:
        for name in ("input_jsonl_path", "output_jsonl_path"):
            if isinstance(path := getattr(self, name), os.PathLike):
                setattr(self, name, os.fspath(path))
            elif path is not None and not isinstance(path, str):
                raise ConfigError(name, "a path or URL", path)
        if not isinstance(self.settings, Mapping):
            raise ConfigError("settings", "settings by name, such as {'dim': 0.8}", self.settings)
        for name in sorted(GIVEN_BY_NAME & set(self.settings)):
            raise UsageError(f"settings: {name} is an argument of its own; give it there and remove it from settings")
        if self.output_jsonl_path and self.output_jsonl_path.endswith("/"):
            raise ConfigError("output_jsonl_path", "a file (….jsonl)", self.output_jsonl_path)


class ImageRegionCaptionGenerate:
    """Images in, one caption for every region out.

    Raises UsageError for a serving object that cannot be read, and for a config of another kind.
    """

    def __init__(self, llm_serving: Any, config: ExistingBBoxDataGenConfig | Any = None) -> None:
        self.cfg = ExistingBBoxDataGenConfig.of(config)
        # Only what is read of it: a DataFlow pipeline would load, and end, a serving object that an operator holds.
        uses_model = self.cfg.settings.get("captioner") != "pixels"
        self._captioner = Captioner.of(llm_serving, self.cfg.settings) if uses_model else Captioner({}, {})
        join_dataflow()

    @staticmethod
    def get_desc(lang: str = "zh") -> str:
        """What the operator does, in Chinese (`zh…`) or English (anything else)."""
        return DESCRIPTIONS["zh" if str(lang).lower().startswith("zh") else "en"]

    def run(
        self,
        storage: Any,
        image_key: str = "image",
        bbox_key: str = "bbox",
        output_key: str = "mdvp_record",
        *,
        input_image_key: str | None = None,
        input_bbox_key: str | None = None,
    ) -> list[str]:
        """Caption the rows of `config.input_jsonl_path`, or else of the storage's step, and write the next step.

        `input_image_key`, `input_bbox_key`: the names of later versions of DataFlow, whose compiled pipelines check
        keys by them. Returns the key that was added.

        Raises UsageError and RunStopped as `region_caption` does; RunStopped, too, when too many rows are rejected:
        then no next step is written.
        """
        from regioncap.dataflow.exchange import exchange_of
        from regioncap.flows.region_caption import region_caption

        image_key, bbox_key = input_image_key or image_key, input_bbox_key or bbox_key
        exchange = exchange_of(storage, image_key, self.cfg.input_jsonl_path, self.cfg.output_jsonl_path)
        summary = region_caption(self._config(exchange, image_key, bbox_key, output_key))
        if not summary.complete:
            raise RunStopped(f"{summary.problem} (rejects: {summary.rejects_file})")
        exchange.hand_on()
        if not summary.ok:
            logger.error("%s (rejects: %s)", summary.problem, summary.rejects_file)
        return [output_key]

    def _config(self, exchange: Exchange, image_key: str, bbox_key: str, output_key: str) -> RegionCapConfig:
        from regioncap.config.model import RegionCapConfig
        from regioncap.inputs.formats import file_kind

        values: dict[str, Any] = {
            "cache_path": exchange.cache_path,
            **({"image_root": str(Path.cwd())} if file_kind(exchange.input) in ROW_FILES else {}),
            **self._captioner.settings,
            **self.cfg.settings,
            "input": exchange.input,
            "output": exchange.output,
            "image_key": image_key,
            "bbox_key": bbox_key,
            "output_key": output_key,
            "max_boxes": self.cfg.max_boxes,
            "draw_visualization": self.cfg.draw_visualization,
        }
        try:
            return RegionCapConfig(**values)
        except ConfigError as error:  # under the name that the user gave it
            raise ConfigError(
                self._captioner.names.get(error.field, error.field), error.expected, error.actual
            ) from None


def join_dataflow() -> None:
    """Have DataFlow's pipelines, where its package is loaded, know our classes as operator and storage: a pipeline that
    is compiled would run what it does not know while it only collects its operators."""
    for module, name, ours in (
        ("dataflow.core.operator", "OperatorABC", ImageRegionCaptionGenerate),
        ("dataflow.utils.storage", "DataFlowStorage", FileStorage),
    ):
        known = getattr(sys.modules.get(module), name, None)
        if isinstance(known, ABCMeta):
            known.register(ours)
