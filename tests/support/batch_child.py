"""A run by batches in a process of its own, which is killed right after one of its calls: FOLDER ENDPOINT CALL."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from regioncap.captioners.batch_api import BatchApi
from tests.support.batches_of_runs import answered_at

if __name__ == "__main__":
    folder, url, call = sys.argv[1:]
    real = getattr(BatchApi, call)

    async def last(self: BatchApi, *args: Any) -> None:
        await real(self, *args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(BatchApi, call, last)
    answered_at(Path(folder), url)
