"""Commands that serve until Ctrl-C: serve, serve-model."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from regioncap.command.echo import PrintableFormatter, say
from regioncap.command.options import GroupedCommand, fields_as_flags, given
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.run.credentials import own_key


@click.command()
@click.option(
    "--file",
    "path",
    default="deployments/prefect.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The prefect.yaml; its deployments that run in a Docker image are skipped.",
)
def serve(path: Path) -> int:
    """Serve the deployments of a prefect.yaml from this process.

    Runs their schedules, and runs started from Prefect's UI. Needs a Prefect server (PREFECT_API_URL), but no work pool
    and no worker. Ctrl-C ends it and pauses the schedules. Their names end in -served: `prefect deploy` may have made
    the same ones for workers.
    """
    if not path.is_file():
        raise UsageError(f"--file {path}: there is no such file; expected a prefect.yaml, such as the repository's")
    if not os.environ.get("PREFECT_API_URL") and not _profile_has_server():
        raise UsageError(
            "PREFECT_API_URL: expected the address of a Prefect server, got none. `prefect server start` starts one; "
            "then: export PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    # Imported here: it takes seconds, and no other command needs it.
    from regioncap.flows.serving import serve_file

    serve_file(path)
    return 0


def _profile_has_server() -> bool:
    from prefect.settings import get_current_settings

    return bool(get_current_settings().api.url)


SERVED = ("gpus", "tensor_parallel_size", "max_model_len", "gpu_memory_utilization", "vllm_args",
          "vllm_python", "prompt_mode", "max_boxes", "max_pixels", "max_tokens")  # fmt: skip
"""Settings that decide how vLLM is started. The last four decide its context length."""


@click.command("serve-model", cls=GroupedCommand)
@click.argument("model")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0: all of them.")
@click.option(
    "--port", default=8000, show_default=True, help="Port of the first server; the others take the next ones."
)
@fields_as_flags(SERVED)
def serve_model(model: str, host: str, port: int, **flags: Any) -> int:
    """Serve MODEL with vLLM on this machine's GPUs.

    For runs on other machines: prints the --endpoint for them. One server per group of --tensor-parallel-size GPUs; a
    server that dies is restarted once. Clients need the key in REGIONCAP_API_KEY; if it is not set here, one is made
    and printed.
    """
    from regioncap.captioners.vllm_serving import serve_until

    config = RegionCapConfig(**{**given(flags), "input": "-", "captioner": "vllm", "model": model})
    key = own_key()
    log = logging.getLogger("regioncap")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter())
    log.handlers = [handler]

    def ready(endpoints: Sequence[str], made: str) -> None:
        # The key goes to the terminal, not to the log, and only where the user could not know it.
        variable = f"REGIONCAP_API_KEY={made} " if key is None else ""
        endpoint_flags = " ".join(f"--endpoint {url}" for url in endpoints)
        say("serving; Ctrl-C ends it. In another terminal, or on another machine:", err=True)
        say(f"  {variable}regioncap run photos.jsonl --model {model} {endpoint_flags}", err=True)
        for url in endpoints:
            say(url)

    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        serve_until(config, host, port, key, ready)
    return 0
