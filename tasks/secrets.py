"""Where the endpoint's key comes from: the environment, or a Prefect Secret block. It is never part of the config.

The one module below the tasks that may import Prefect: only when a block is named, and not before the key is needed.
"""

from __future__ import annotations

import os
from typing import Any

from tasks.config import RegionCapConfig
from tasks.errors import CaptionerError

VARIABLES = ("REGIONCAP_API_KEY", "OPENAI_API_KEY")


def api_key(config: RegionCapConfig) -> str | None:
    """The key for the config's endpoints; None when there is none. Raises CaptionerError for a block that is not."""
    if config.api_key_block:
        return _from_block(config.api_key_block)
    return next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)


def _from_block(name: str) -> str:
    from prefect.blocks.system import Secret

    try:
        block: Any = Secret.load(name, _sync=True)  # type: ignore[call-arg]
    except ValueError:
        raise CaptionerError(
            f"api_key_block: there is no Prefect Secret block {name!r}; make it in Prefect's UI under Blocks, or with "
            "prefect.blocks.system.Secret(value=…).save(…), and run the same command again."
        ) from None
    return str(block.get())
