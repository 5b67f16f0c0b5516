"""Commands that serve: they run until Ctrl-C."""

from __future__ import annotations

from typing import Any

import click

from tasks.errors import UsageError


@click.command("fake-vlm")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--model", default="fake-vlm", show_default=True, help="The model's name.")
@click.option("--slots", default=32, show_default=True, help="Requests that are served at once.")
@click.option("--latency", default=0.8, show_default=True, help="Seconds that a request is served.")
@click.option("--max-waiting", type=int, help="With so many waiting, a further one is told 429.")
@click.option(
    "--structure",
    type=click.Choice(["regex", "json_schema", "none"]),
    default="regex",
    show_default=True,
    help="The form of answers that it keeps to.",
)
@click.option("--max-model-len", default=32_768, show_default=True, help="Tokens of a request and its answer.")
@click.option(
    "--fault", "faults", multiple=True, metavar="NAME=SHARE", help="A mistake and how often, such as 500=0.05."
)
@click.option("--seed", default=0, show_default=True, help="Of the mistakes.")
def fake_vlm(host: str, port: int, faults: tuple[str, ...], structure: str, **behaviour: Any) -> int:
    """Serve an OpenAI-compatible endpoint without a model: for trying a deployment out.

    Its answers name the picture and the region. Mistakes on demand: 500, 429, 503, hang, cut, truncated, garbage,
    missing, extra, reordered, length, refusal. GET /stats tells what it was asked.
    """
    from tasks.captioners.fake_server import Behaviour, RunningServer

    shares = dict(_fault(fault) for fault in faults)
    try:
        server = RunningServer(Behaviour(faults=shares, structure=(structure,), **behaviour), host, port)
    except OSError as error:
        raise UsageError(f"--port: cannot listen on {host}:{port}: {error.strerror}") from None
    click.echo(f"serving on {server.url}; Ctrl-C ends it. In another terminal:", err=True)
    click.echo(f"  regioncap run photos.jsonl --endpoint {server.url} --model {behaviour['model']}", err=True)
    server.serve_forever()
    return 0


def _fault(text: str) -> tuple[str, float]:
    from tasks.captioners.fake_server import FAULTS

    name, _, share = text.partition("=")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if name not in FAULTS or not 0 <= value <= 1:
        raise UsageError(f"--fault: expected NAME=SHARE with one of {', '.join(FAULTS)} and 0 to 1, got {text!r}")
    return name, value
