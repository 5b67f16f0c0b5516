"""Keys and credentials: from the environment, or from Prefect blocks. They are never part of the config.

The one module below the tasks that may import Prefect: only when a block is named, and not before it is needed.
"""

from __future__ import annotations

import json
import os
from typing import Any

from regioncap.config.model import RegionCapConfig
from regioncap.errors import CaptionerError, UsageError
from regioncap.storage.filesystem import Filesystems

VARIABLES = ("REGIONCAP_API_KEY", "OPENAI_API_KEY")


def api_key(config: RegionCapConfig) -> str | None:
    """The key for the config's endpoints; None when there is none. Raises CaptionerError for a missing block."""
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
            "prefect.blocks.system.Secret(value=…).save(…), and rerun the same command."
        ) from None
    return str(block.get())


def filesystems_of(config: RegionCapConfig) -> Filesystems:
    """The filesystems that the config's files are on. Raises UsageError for a missing or wrong block."""
    return filesystems(config.s3_endpoint_url, config.s3_region, config.storage_block)


def filesystems(endpoint_url: str | None, region: str | None, block: str | None) -> Filesystems:
    """As `filesystems_of`, of the three settings."""
    options: dict[str, dict[str, Any]] = {}
    if block:
        protocol, found = _storage_options(block)
        options[protocol] = found
    if endpoint_url or region:
        s3 = options.setdefault("s3", {})
        if endpoint_url:
            s3["endpoint_url"] = endpoint_url
        if region:
            s3["client_kwargs"] = {**s3.get("client_kwargs", {}), "region_name": region}
    if "s3" in options:
        options["s3a"] = options["s3"]
    return Filesystems(options)


def _storage_options(name: str) -> tuple[str, dict[str, Any]]:
    """(protocol, fsspec's options for it) that a block holds."""
    from prefect.blocks.core import Block

    slug = name if "/" in name else f"remote-file-system/{name}"
    try:
        block: Any = Block.load(slug, _sync=True)  # type: ignore[call-arg]
    except ValueError:
        raise UsageError(
            f"storage_block: there is no Prefect block {slug!r}; make it in Prefect's UI under Blocks (Remote File "
            "System, with the fsspec options as its settings), or give credentials through the environment"
        ) from None
    if hasattr(block, "basepath"):
        return str(block.basepath).partition("://")[0], dict(block.settings or {})
    value: Any = block.get() if hasattr(block, "get") else None
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(
            f'storage_block: expected fsspec options in {slug!r}, such as {{"key": …, "secret": …}}, got something else'
        )
    return "s3", found
