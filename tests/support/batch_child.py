"""A run by batches in a process of its own, which is killed at one of its calls: FOLDER ENDPOINT CALL NUMBER WHEN.

CALL: of `KILLED_AT`. NUMBER: at which of them, from 1. WHEN: `before` or `after` it. The cache may follow: a URL.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regioncap.captioners.batch_api import BatchApi
from regioncap.storage.batch_records import BatchRecords
from regioncap.tasks import batch_results
from tests.support.batches_of_runs import answered_at

REQUESTS = 7
"""Of a batch, at most."""

KILLED_AT: Mapping[str, Any] = {
    **dict.fromkeys(("write", "write_requests", "claim", "remove"), BatchRecords),
    **dict.fromkeys(("upload", "create", "get", "download", "delete"), BatchApi),
    "store_replies": batch_results,
}
"""By call: whose it is."""


def killed_at(real: Callable[..., Any], number: int, when: str) -> Callable[..., Any]:
    """`real`, at whose call `number` the process ends."""
    calls = 0

    def check(moment: str) -> None:
        nonlocal calls
        calls += moment == "before"
        if (calls, moment) == (number, when):
            os.kill(os.getpid(), signal.SIGKILL)

    def call(*args: Any, **more: Any) -> Any:
        check("before")
        result = real(*args, **more)
        check("after")
        return result

    async def awaited(*args: Any, **more: Any) -> Any:
        check("before")
        result = await real(*args, **more)
        check("after")
        return result

    return awaited if inspect.iscoroutinefunction(real) else call


if __name__ == "__main__":
    folder, url, name, count, moment, *cache = sys.argv[1:]
    of = KILLED_AT[name]
    setattr(of, name, killed_at(getattr(of, name), int(count), moment))
    answered_at(Path(folder), url, batch_max_requests=REQUESTS, **({"cache_path": cache[0]} if cache else {}))
