"""What filesystems tell of a file, each in its own words."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any


def version_in(info: Mapping[str, Any]) -> list[Any]:
    """[etag or size, time] of what a filesystem tells of a file; no time beside an etag, and where there is none."""
    etag = info.get("ETag") or info.get("etag") or info.get("blob_id")  # blob_id: Hugging Face's
    time = info.get("mtime") or info.get("LastModified") or info.get("created") or info.get("Last-Modified")
    return [etag or info.get("size"), str(time) if time and not etag else None]


def changed_at(item: dict[str, Any]) -> float:
    """When a listed file was changed, in seconds since 1970; now where the listing does not say."""
    changed = item.get("mtime") or item.get("LastModified") or item.get("created")
    if isinstance(changed, dt.datetime):
        return changed.timestamp()
    return float(changed) if isinstance(changed, int | float) else time.time()
