"""What a valid config must satisfy whose requests go into a provider's batches, or into files: see `checks`."""

from __future__ import annotations

from regioncap.config.checks import is_part_of
from regioncap.config.derived import DerivedSettings
from regioncap.records import shorten


def check_delivery(config: DerivedSettings) -> None:
    """Batches and files of requests need one process that has them in its care; batches belong to one account."""
    if config.delivery == "online":
        return
    if config.captioner_name != "openai":
        raise ValueError(
            f"delivery: captioner {config.captioner_name!r} has no batches; expected captioner 'openai' with an "
            "endpoint, or delivery=online"
            if config.delivery == "batch"
            else f"delivery: captioner {config.captioner_name!r} writes no requests into files; expected captioner "
            "'openai', or delivery=online"
        )
    if config.runner != "threads":
        raise ValueError(f"delivery: expected runner 'threads' with batches, got {config.runner!r}; remove one of them")
    if config.delivery == "file":
        if config.asks_for_regions:
            raise ValueError(
                "extractor: 'vlm' asks a server for regions, and with delivery=file nothing is sent; expected another "
                "extractor, delivery=online or delivery=batch"
            )
        _check_files(config)
    elif len(config.endpoint) != 1:
        raise ValueError(
            f"delivery: expected one endpoint, whose account the batches belong to, got {len(config.endpoint)}; remove "
            "the others, or set delivery=online"
        )


def _check_files(config: DerivedSettings) -> None:
    """Nothing is sent anywhere, unless that is asked for."""
    if config.rest_online and not config.endpoint:
        raise ValueError(
            "batch_rest: expected an endpoint for what the files do not answer, got none; set it with --endpoint, or "
            "remove batch_rest=online"
        )
    if config.endpoint and not config.rest_online:
        raise ValueError(
            "endpoint: with delivery=file nothing is sent to any server; remove it, or set batch_rest=online to have "
            "requested there what the files do not answer"
        )
    if config.audit_rows and not config.rest_online:
        raise ValueError(
            "audit_rows: an audit asks a server, and with delivery=file nothing is sent; remove it, or set "
            "batch_rest=online and an endpoint"
        )
    if config.requests_folder.startswith("memory:"):
        raise ValueError(
            f"batch_folder: expected a folder that whoever answers can read, got {config.requests_folder}, which is "
            "gone when the run ends; set batch_folder to a path or URL"
        )
    if is_part_of(config.requests_folder, config.input):
        raise ValueError(
            f"batch_folder: expected a place outside of the input, got {shorten(config.requests_folder, 200)}, which "
            f"is or lies in {shorten(config.input, 200)}; its files would be read as rows"
        )
