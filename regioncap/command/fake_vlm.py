"""The command fake-vlm: a model server without a model, with the ways of those that people have."""

from __future__ import annotations

from typing import Any

import click

from regioncap.captioners.fake.batch_behaviour import TROUBLES, BatchBehaviour
from regioncap.captioners.fake.batch_flags import BATCH_FLAGS, batch_behaviour
from regioncap.captioners.fake.box_forms import BOX_FORMS, DOUBTFUL
from regioncap.captioners.fake.boxes import Boxes
from regioncap.captioners.fake.errors import WAITS
from regioncap.captioners.fake.faults import FAULTS, SCHEDULED
from regioncap.captioners.fake.forms import FORMS
from regioncap.captioners.fake.personas import PERSONAS
from regioncap.captioners.fake.sight import MIX_UPS, Sight
from regioncap.command.echo import say
from regioncap.errors import UsageError


def _print_personas(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        width = max(map(len, PERSONAS))
        for name, persona in PERSONAS.items():
            say(f"{name:{width}}  {persona.imitates}")
        context.exit()


def _epilog() -> str:
    """The faults, mix-ups and settings of batches, one a line, for the end of the help."""
    faults = {**{name: fault.text for name, fault in FAULTS.items()}, **SCHEDULED}
    lists = {"Faults": faults, "Mix-ups": MIX_UPS, "Batches": BATCH_FLAGS, "What becomes of a call": TROUBLES}
    lists["Boxes"] = {name: form.text for name, form in (BOX_FORMS | DOUBTFUL).items()}
    width = max(len(name) for texts in lists.values() for name in texts)
    return "\n\n".join(
        "\n".join(["\b", f"{title}:", *(f"  {name:{width}}  {text}" for name, text in texts.items())])
        for title, texts in lists.items()
    )


@click.command("fake-vlm", epilog=_epilog())
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--model", default="fake-vlm", show_default=True, help="Name of the model.")
@click.option(
    "--persona",
    type=click.Choice(list(PERSONAS)),
    default="plain",
    show_default=True,
    metavar="NAME",
    help="Server to imitate: openai-reasoning, azure, gemini, ollama, vllm-thinking, … See --personas.",
)
@click.option(
    "--personas",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_personas,
    help="List the personas, each with what it imitates, and exit.",
)
@click.option("--slots", default=32, show_default=True, help="Number of requests served at once.")
@click.option("--latency", default=0.8, show_default=True, help="Seconds that each request takes.")
@click.option("--key", help="API key that clients must send.")
@click.option("--max-waiting", type=int, help="Answer 429 when this many requests are queued.")
@click.option(
    "--retry-after",
    default=1.0,
    show_default=True,
    help="Seconds to wait that an overloaded server asks for.",
)
@click.option("--retry-form", type=click.Choice(list(WAITS)), help="How it asks for them. Default: the persona's way.")
@click.option(
    "--structure",
    type=click.Choice([*FORMS, "none"]),
    help="Structured output that it enforces. Default: the persona's.",
)
@click.option(
    "--max-model-len", default=32_768, show_default=True, help="Maximum number of tokens of a request and its answer."
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME=SHARE",
    help="A fault and its share of the requests: 500=0.05, or one that comes at a time and its number: "
    "credits_after=100. See below. May be given more than once.",
)
@click.option(
    "--sees",
    is_flag=True,
    help="Name the flat colour inside each mark, in other words each time: see `regioncap audit`.",
)
@click.option(
    "--mix-up",
    "mix_ups",
    multiple=True,
    metavar="NAME=SHARE",
    help="See, and mix regions up: number=0.1. See below. May be given more than once.",
)
@click.option(
    "--boxes",
    type=click.Choice([*BOX_FORMS, *DOUBTFUL]),
    default=Boxes().form,
    show_default=True,
    metavar="FORM",
    help="How it answers where it is asked for boxes. See below.",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    metavar="NAME=VALUE",
    help="How batches are dealt with: delay=60, 429=0.1, expires=0.5, create=lost,ok,500. See below. May be given more "
    "than once.",
)
@click.option("--seed", default=0, show_default=True, help="Random seed for the faults, words and mix-ups.")
def fake_vlm(
    host: str, port: int, persona: str, faults: tuple[str, ...], structure: str | None, sees: bool,
    mix_ups: tuple[str, ...], boxes: str, batches: tuple[str, ...], **behaviour: Any,
) -> int:  # fmt: skip
    """Serve a fake OpenAI-compatible model, for tests.

    Its answers name the picture and the region. It takes batches of requests too, as OpenAI does. GET /stats returns
    what it was asked, and what its answers cost.
    """
    from regioncap.captioners.fake_server import Behaviour, RunningServer

    given = dict(_fault(fault) for fault in faults)
    times: dict[str, Any] = {name: given.pop(name) for name in SCHEDULED if name in given}
    forms = None if structure is None else (structure,)
    mixed = dict(_mix_up(each) for each in mix_ups)
    sight = Sight(mixed, behaviour["seed"]) if sees or mixed else None
    acting = Behaviour(
        persona=PERSONAS[persona], faults=given, structure=forms, sight=sight, boxes=Boxes(boxes),
        batch=_batch(batches), **times, **behaviour,
    )  # fmt: skip
    try:
        server = RunningServer(acting, host, port)
    except OSError as error:
        raise UsageError(f"--port: cannot listen on {host}:{port}: {error.strerror}") from None
    say(f"serving on {server.url}; Ctrl-C ends it. In another terminal:", err=True)
    flags = f"--endpoint {server.url} --model {behaviour['model']} {acting.persona.flags}".rstrip()
    say(f"  regioncap run photos.jsonl {flags}", err=True)
    server.serve_forever()
    return 0


def _named_number(text: str) -> tuple[str, float]:
    """The name and number in NAME=NUMBER; -1 for what is no number."""
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        return name, -1.0


def _mix_up(text: str) -> tuple[str, float]:
    name, share = _named_number(text)
    if name in MIX_UPS and 0 <= share <= 1:
        return name, share
    raise UsageError(f"--mix-up: expected NAME=SHARE with one of {', '.join(MIX_UPS)} and 0 to 1, got {text!r}")


def _batch(texts: tuple[str, ...]) -> BatchBehaviour:
    try:
        return batch_behaviour(texts)
    except ValueError as error:
        raise UsageError(f"--batch: {error}") from None


def _fault(text: str) -> tuple[str, float]:
    """The name and number in NAME=SHARE, or NAME=NUMBER for a fault that comes at a time."""
    name, value = _named_number(text)
    if (name in FAULTS and 0 <= value <= 1) or (name in SCHEDULED and 0 <= value < float("inf")):
        return name, value
    raise UsageError(
        f"--fault: expected NAME=SHARE with one of {', '.join(FAULTS)} and 0 to 1, or NAME=NUMBER with one of "
        f"{', '.join(SCHEDULED)}, got {text!r}"
    )
