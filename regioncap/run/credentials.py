"""Keys and credentials: from the environment, or from Prefect blocks. They are never part of the config.

The one module below the tasks that may import Prefect: only when a block is named, and not before it is needed.
"""

from __future__ import annotations

import json
import os
from typing import Any

from regioncap.captioners.access import Access
from regioncap.captioners.region_model import settings_of_finder
from regioncap.config.model import RegionCapConfig
from regioncap.config.references import NOT_IN_HEADERS, Reference
from regioncap.config.request_parts import keys_of
from regioncap.errors import CaptionerError, UsageError
from regioncap.run.prefect_import import import_prefect
from regioncap.storage.filesystem import Filesystems


def access_of(config: RegionCapConfig) -> list[Access]:
    """What each of the config's endpoints is sent to grant access, in their order.

    Raises CaptionerError for a secret that is missing, or that cannot be sent.
    """
    secrets: list[str] = []
    headers, query = (
        {name: _resolved(value, f"{setting}: {name}", secrets) for name, value in values.items()}
        for setting, values in (("request_headers", config.headers), ("request_query", config.query))
    )
    access = Access(headers, query, tuple(secrets))
    if any(name.lower() == "authorization" for name in headers):
        return [access for _ in config.endpoint]
    return [access.with_key(key) for key in _keys(config)]


def needs_prefect(config: RegionCapConfig) -> bool:
    """Whether a secret that is sent to endpoints is in a Prefect block."""
    values = [*config.headers.values(), *config.query.values(), *config.api_keys, *config.find_api_keys]
    references = [Reference.of(value) for value in values]
    return bool(config.api_key_block) or any(one is not None and one.kind == "block" for one in references)


def check_environment(config: RegionCapConfig) -> None:
    """Raises CaptionerError for a secret that the environment lacks or that cannot be sent; blocks are not read."""
    for setting, values in (("request_headers", config.headers), ("request_query", config.query)):
        for name, value in values.items():
            _check_reference(Reference.of(value), f"{setting}: {name}")
    references = keys_of(config.api_keys, len(config.endpoint))
    for reference in references:
        _check_reference(reference, "api_keys")
    if not references and not config.api_key_block and config.endpoint:
        _default_key(config)
    if config.finds_apart:
        check_environment(settings_of_finder(config))


def _check_reference(reference: Reference | None, where: str) -> None:
    if reference is not None and reference.kind == "env":
        _secret(reference, where)


def _keys(config: RegionCapConfig) -> list[str | None]:
    """The key of each endpoint; None where there is none."""
    references = keys_of(config.api_keys, len(config.endpoint))
    if references:
        return [_secret(reference, "api_keys") for reference in references]
    if config.api_key_block:
        return [_secret(Reference("block", config.api_key_block), "api_key_block")] * len(config.endpoint)
    return [_default_key(config)] * len(config.endpoint)


def _default_key(config: RegionCapConfig) -> str | None:
    # OpenAI's key is not for a server that is sent other credentials, such as a gateway of somebody else's.
    return own_key() if config.sends_credentials else own_key() or _from_environment("OPENAI_API_KEY")


def own_key() -> str | None:
    """The key that the environment has for RegionCap's endpoints. Raises CaptionerError for one that cannot be sent."""
    return _from_environment("REGIONCAP_API_KEY")


def _from_environment(name: str) -> str | None:
    value = os.environ.get(name, "")
    return _clean(value, f"the environment variable {name}") if value.strip() else None


def _resolved(value: str, where: str, secrets: list[str]) -> str:
    """`value`, with the secret that it names in its place; that is added to `secrets`."""
    reference = Reference.of(value)
    if reference is None:
        return value
    secret = _secret(reference, where)
    secrets.append(secret)
    return f"{reference.scheme} {secret}".strip()


def _secret(reference: Reference, where: str) -> str:
    """The secret that the setting `where` names. Raises CaptionerError when it is missing, or no secret."""
    name = reference.name
    if reference.kind == "block":
        return _clean(_from_block(name, where), f"{where}: the Prefect Secret block {name!r}")
    if name not in os.environ:
        raise CaptionerError(
            f"{where}: there is no environment variable {name}; set it where the run is started, and rerun."
        )
    return _clean(os.environ[name], f"{where}: the environment variable {name}")


def _clean(secret: str, source: str) -> str:
    """A secret without the line end that files and shells add. Raises CaptionerError when it fits into no header."""
    secret = secret.strip()
    if not secret:
        raise CaptionerError(f"{source} is empty; set it and rerun.")
    if NOT_IN_HEADERS.search(secret):
        raise CaptionerError(
            f"{source} has a line break, a control character or a character outside of Latin-1, as no key has; "
            "set it again, with the key alone, and rerun."
        )
    return secret


def _from_block(name: str, where: str) -> str:
    import_prefect()
    from prefect.blocks.system import Secret

    try:
        block: Any = Secret.load(name, _sync=True)  # type: ignore[call-arg]
    except ValueError:
        raise CaptionerError(
            f"{where}: there is no Prefect Secret block {name!r}; make it in Prefect's UI under Blocks, or with "
            "prefect.blocks.system.Secret(value=…).save(…), and rerun."
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
    import_prefect()
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
