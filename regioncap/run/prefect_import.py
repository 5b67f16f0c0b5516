"""Imports Prefect on behalf of a program that may know nothing of it: it reports nothing, and root keeps its log.

Prefect's first import gives the root logger a level and a handler, which makes the program's own
`logging.basicConfig(level="INFO")` do nothing. Its handler belongs to its own logger here.
"""

from __future__ import annotations

import importlib
import logging
import sys

from regioncap.process import no_telemetry


def import_prefect() -> None:
    """Import Prefect as above; nothing where it is imported already."""
    if "prefect.main" in sys.modules:
        return
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    with no_telemetry:  # Prefect reports its first import
        importlib.import_module("prefect.main")
    root.setLevel(level)
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)
        handler.addFilter(_not_logged_by_root)
        logging.getLogger("prefect").addHandler(handler)


def _not_logged_by_root(record: logging.LogRecord) -> bool:
    """Whether the program leaves Prefect's log to Prefect: one with a log of its own has these lines there."""
    return not logging.getLogger().handlers
