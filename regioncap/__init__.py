"""Region captions for vision-language data sets: images in, one caption for every region out, as a Prefect flow.

    from regioncap import region_caption

    summary = region_caption(input="photos.jsonl", model="Qwen/Qwen2.5-VL-7B-Instruct")

The names below are the public ones. Each is loaded when it is first used, so `import regioncap` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regioncap.config.model import RegionCapConfig
    from regioncap.errors import (
        AccountingError,
        BudgetReached,
        CaptionerError,
        ConfigError,
        InputDamaged,
        OutputInUse,
        PluginError,
        PrefectLost,
        RegionCapError,
        RowReject,
        RowsFailAlike,
        RunStopped,
        SettingsChanged,
        Stopped,
        StorageError,
        UsageError,
        Waiting,
        WorkersLost,
    )
    from regioncap.flows.region_caption import region_caption
    from regioncap.output.summary import Summary

__version__ = "0.1.0"

__all__ = [
    "AccountingError",
    "BudgetReached",
    "CaptionerError",
    "ConfigError",
    "InputDamaged",
    "OutputInUse",
    "PluginError",
    "PrefectLost",
    "RegionCapConfig",
    "RegionCapError",
    "RowReject",
    "RowsFailAlike",
    "RunStopped",
    "SettingsChanged",
    "Stopped",
    "StorageError",
    "Summary",
    "UsageError",
    "Waiting",
    "WorkersLost",
    "__version__",
    "region_caption",
]

_MODULES = {
    "RegionCapConfig": "regioncap.config.model",
    "Summary": "regioncap.output.summary",
    "region_caption": "regioncap.flows.region_caption",
}
"""Where a public name is defined; those that are not here are errors."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES.get(name, "regioncap.errors")), name)
    globals()[name] = value  # the next use finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
