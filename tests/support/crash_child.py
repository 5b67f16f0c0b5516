"""A run that kills itself with `kill -9` at a given call of a function: `crash_child.py CONFIG MODULE NAME CALLS`.

For the crash tests: the kill comes at exactly this place, and not some time about it.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import sys
from typing import Any


def kill_at(module: str, name: str, calls: int) -> None:
    """Have this process killed when `module.name` is called for the `calls`-th time."""
    owner: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real, count = getattr(owner, last), itertools.count(1)

    def deadly(*args: Any, **arguments: Any) -> Any:
        if next(count) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **arguments)

    setattr(owner, last, deadly)


if __name__ == "__main__":
    config, module, name, calls = sys.argv[1:]
    from regioncap.config.model import RegionCapConfig
    from regioncap.flows.region_caption import region_caption

    kill_at(module, name, int(calls))
    region_caption(RegionCapConfig(**json.loads(config)))
