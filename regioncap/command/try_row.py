"""One row through all steps, shown: what the model sees, what it is asked, its raw answer, and the captions.

Only the marked picture, which is there to be viewed, and the captions, which were paid for, go into the cache.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import orjson

from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.vlm import VlmCaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject, UsageError
from regioncap.image_ref import ref_of
from regioncap.masking import mask
from regioncap.output.join import size_warning_of
from regioncap.output.jsonl import region_lists
from regioncap.preflight.first_rows import FirstRows
from regioncap.preflight.key_hints import key_hints
from regioncap.preflight.named_keys import check_named_keys
from regioncap.records import Row, cut_text, shorten
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.storage.image_errors import shown_image
from regioncap.tasks.answers import ask
from regioncap.tasks.caption import finish
from regioncap.tasks.draw_row import draw_row
from regioncap.tasks.edited import corrections_of
from regioncap.tasks.extract import extract_row, model_asked
from regioncap.tasks.load import load_row
from regioncap.tasks.normalize import normalize_row
from regioncap.tasks.route import route_row, score_key_of

Say = Callable[[str], None]


def try_row(config: RegionCapConfig, line: int, say: Say) -> bool:
    """Caption the row at `line` (from 1) of the input and `say` how it went. Returns whether every region has its
    caption.

    The model is asked even if the answer is cached. Raises UsageError for a line that does not exist, CaptionerError.
    """
    if config.delivery == "file" and not config.rest_online:
        raise UsageError("delivery: a row is tried at a server, and delivery=file asks none; set --delivery online")
    with contextlib.closing(RunContext(config)) as context:
        context.captioner.check()
        _ = context.edits  # wrong ones are refused before anything else is read
        first = FirstRows(context)
        check_named_keys(config, first)
        for hint in key_hints(config, first):
            say(f"hint         {hint}")
        try:
            with row_work("try", f"line {line}"):
                return _captioned(_drawn(load_line(context, line), context, say), context, say)
        except RowReject as reject:
            _say_reject(say, reject.code, reject.message)
            return False


def load_line(context: RunContext, line: int) -> Row:
    """The row at `line` (from 1) of the input, after `load`. Raises UsageError for a line that does not exist."""
    last = 0
    with contextlib.closing(context.shards()) as shards:
        for shard in shards:
            for number, text in shard.lines:
                if number == line:
                    context.images.keep(shard.images)
                    return load_row(number, shard.source, text, context.config.image_key)
                last = max(last, number)
    raise UsageError(f"--row: expected a line of the input, 1 to {last}, got {line}")


def say_image(row: Row, context: RunContext, say: Say) -> None:
    """Say where the image of a row is."""
    ref = ref_of(row)
    say(f"image        {shown_image(str(ref) if ref.in_container else context.images.locate(ref.name))}")


def routed(row: Row, config: RegionCapConfig) -> Row:
    """The row after `route`. Raises RowReject."""
    return route_row(
        {**row, "image_stat": None}, config.boxes_key, config.empty_bbox, config.carried_keys, score_key_of(config),
        size_from_row=config.box_size == "row",
    )  # fmt: skip


def _drawn(loaded: Row, context: RunContext, say: Say) -> Row:
    """The row after `visualize`. Raises RowReject."""
    config = context.config
    given = or_raise(loaded)
    say_image(given, context, say)
    row, read = routed(given, config), context.images.read
    extracted = extract_row(row, read, config, finder=context.finder, asked=model_asked(context))
    row = or_raise(normalize_row(or_raise(extracted), config))
    found = "found" if row["type"] == "without_bbox" else "given"
    say(f"regions      {row['valid_bboxes_num']} {found}, xywh: {cut_text(str(row['bbox']))}")
    for name, values in region_lists(row.get("region_fields", ())).items():
        say(f"{name:<12} {cut_text(str(values))}")
    for drop in row["dropped_bbox"]:
        say(f"dropped      box {drop['index']} {shorten(drop['bbox'])}: {drop['reason']}")
    row, jpegs = draw_row(row, context.images.read, config)
    size = f"{row['marked']['width']}x{row['marked']['height']}"
    for picture, jpeg in zip([row["marked"], *row.get("parts", [])], jpegs, strict=True):
        place = context.marks.place(picture["sha256"])
        place.write(jpeg, durable=False)
        regions = f", for the request about regions {picture['regions']}" if "regions" in picture else ""
        say(f"marked       {place.url} ({size}, {len(jpeg):,} bytes{regions})")
    for warning in filter(None, [*row["warnings"], size_warning_of(given["row"], row, config)]):
        say(f"warning      {warning}")
    return row


def or_raise(row: Row) -> Row:
    """The row itself. Raises RowReject where it is one."""
    if "reject" in row:
        raise RowReject(row["reject"]["code"], row["reject"]["message"])
    return row


def _captioned(row: Row, context: RunContext, say: Say) -> bool:
    if isinstance(context.captioner, VlmCaptioner):
        context.captioner.session.on_response(_tracer(say))
    result = finish(ask(row, context, ignore_cached=True), context, corrections_of(row, context))
    say("")
    # A reject keeps the captions that came, by their numbers as text; there may be none.
    kept = result.get("captions", {}) if "reject" in result else dict(enumerate(result["captions"], start=1))
    for number, text in kept.items():
        say(f"<region{number}>    {text}")
    for warning in result.get("warnings", ()):
        say(f"warning      {warning}")
    if "reject" in result:
        _say_reject(say, result["reject"]["code"], result["reject"]["message"])
        return False
    if "edited" in result:
        say(f"edited       {', '.join(mark or '-' for mark in result['edited'])}")
    used = ", ".join(f"{name} {count:,}" for name, count in result["usage"].items())
    say(f"usage        {used or 'none'}")
    return True


def _say_reject(say: Say, code: str, message: str) -> None:
    say(f"rejected     {code}: {message}")


def _tracer(say: Say) -> Callable[[Endpoint, ChatRequest, ChatResponse], None]:
    """A callback that says each request, without its pictures' bytes, and the raw answer."""

    def trace(endpoint: Endpoint, request: ChatRequest, response: ChatResponse) -> None:
        body: dict[str, Any] = endpoint.body(request)
        for message in body["messages"]:
            parts = message["content"] if isinstance(message["content"], list) else []
            for part in parts:
                if part["type"] == "image_url":
                    part["image_url"]["url"] = (
                        f"data:image/jpeg;base64,… ({len(part['image_url']['url']):,} characters)"
                    )
        lines = orjson.dumps(body, option=orjson.OPT_INDENT_2).decode().splitlines()
        say(f"\nrequest      {endpoint.url}/chat/completions")
        for line in lines:
            say(f"  {line}")
        say(
            f"answer       {response.finish_reason}, {response.prompt_tokens:,} + {response.completion_tokens:,} tokens"
        )
        for line in mask(response.text, endpoint.http.secrets).splitlines() or [""]:
            say(f"  {line}")

    return trace
