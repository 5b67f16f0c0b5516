"""What a run would ask for, and what that would cost: counted where it can be, estimated where it cannot.

Reads every row, but of the images only the headers of a sample.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from tasks.caption import key_of_answer, request_of
from tasks.captioners.prompts import Prompts, form_of_answer
from tasks.config import RegionCapConfig
from tasks.context import RunContext
from tasks.errors import RegionCapError, RowReject
from tasks.load import load_row
from tasks.prompt_keys import check_prompt_keys
from tasks.records import Row, Shard
from tasks.route import WITHOUT_BBOX, route_row
from tasks.shard import STEPS, find_steps, look
from tasks.storage.readers import read_shards
from tasks.vision.images import fit_size, read_info

SAMPLE = 200
"""Images whose header is read for their size."""

PATCH = 28
"""Pixels a side of one visual token: Qwen2.5-VL's."""

CHARS_A_TOKEN = 4
TOKENS_A_CAPTION = 45
"""Of an answer, a region, where no answer is there to learn from: a sentence or two."""


@dataclass
class Plan:
    """Counts over an input. Tokens are estimates; regions of rows without boxes are "at most"."""

    rows: int = 0
    rejected: int = 0
    """Rows whose text alone shows that they will be rejected."""
    with_bbox: int = 0
    without_bbox: int = 0
    regions_given: int = 0
    regions_at_most: int = 0
    rows_done: int = 0
    """Rows whose captions are there."""
    requests: int = 0
    image_tokens: float = 0.0
    """Of one picture, by the sample."""
    text_tokens: float = 0.0
    """Of one request."""
    answer_tokens: float = TOKENS_A_CAPTION
    """Of one region."""
    sampled: int = 0
    learnt: int = 0
    """Answers that the length of an answer was learnt from."""
    regions_to_ask: int = 0
    usage: list[float] = field(default_factory=list, repr=False)

    @property
    def prompt_tokens(self) -> int:
        """Of all requests to come."""
        return round(self.requests * (self.image_tokens + self.text_tokens))

    @property
    def completion_tokens(self) -> int:
        """Of all answers to come."""
        return round(self.regions_to_ask * self.answer_tokens)

    def usd(self, per_m_in: float, per_m_out: float) -> float:
        """The price of what is to come."""
        return (self.prompt_tokens * per_m_in + self.completion_tokens * per_m_out) / 1e6


def plan(config: RegionCapConfig) -> Plan:
    """The plan of a run. Raises UsageError and InputDamaged for the input, StorageError."""
    planned = Plan()
    sizes: list[tuple[int, int]] = []
    with contextlib.closing(RunContext(config)) as context:
        check_prompt_keys(config, context.files)
        prompts = Prompts.of(config)
        for shard in read_shards(config, context.files):
            done = _rows_done(shard, context, planned)
            for place, (number, text) in enumerate(shard.lines):
                planned.rows += 1
                _count_row(load_row(number, shard.source, text, config.image_key), done[place], context, planned, sizes)
    if sizes:
        shown = [fit_size(size, max_pixels=config.max_pixels) for size in sizes]
        planned.image_tokens = statistics.mean(math.ceil(w / PATCH) * math.ceil(h / PATCH) for w, h in shown)
    planned.sampled = len(sizes)
    planned.text_tokens = _text_tokens(config, prompts)
    if planned.usage:
        planned.answer_tokens = statistics.mean(planned.usage)
        planned.learnt = len(planned.usage)
    return planned


def _count_row(row: Row, done: bool, context: RunContext, planned: Plan, sizes: list[tuple[int, int]]) -> None:
    config = context.config
    try:
        if "reject" in row:
            raise RowReject(row["reject"]["code"], row["reject"]["message"])
        routed = route_row({**row, "image_stat": None}, config.bbox_key, config.empty_bbox)
    except RowReject:
        planned.rejected += 1
        return
    if routed["type"] == WITHOUT_BBOX:
        planned.without_bbox += 1
        regions = config.max_boxes
        planned.regions_at_most += regions
    else:
        planned.with_bbox += 1
        regions = min(config.max_boxes, len(routed["boxes"]))
        planned.regions_given += regions
    if done:
        planned.rows_done += 1
        return
    if not context.captioner.paid:
        return
    planned.requests += regions if config.prompt_mode == "focal" else 1
    planned.regions_to_ask += regions
    # The first ones, then ever fewer: a sample over the whole input without knowing its length.
    if len(sizes) < SAMPLE and (planned.rows <= SAMPLE // 2 or zlib.crc32(row["image"].encode()) % 64 == 0):
        with contextlib.suppress(RegionCapError):
            info = read_info(context.images.read(row["image"]), max_image_pixels=config.max_image_pixels)
            sizes.append((info.width, info.height))


def _rows_done(shard: Shard, context: RunContext, planned: Plan) -> list[bool]:
    """For each row of a shard whether its captions are there, as far as the steps that are done can tell."""
    steps = look(shard, context)
    if steps is not None:
        return [True] * len(shard.lines)
    drawn = find_steps(shard, context, STEPS[:-1])
    if drawn is None:
        return [False] * len(shard.lines)
    return list(_answered(context.storage.read(drawn[-1]), context, planned))


def _answered(rows: list[Row], context: RunContext, planned: Plan) -> Iterator[bool]:
    for row in rows:
        if "reject" in row:
            yield True
            continue
        request = request_of(row, context)
        kept = context.answers.get(key_of_answer(row, context.captioner.prompt(request), context)) or {}
        captions = kept.get("captions", {})
        if captions and kept.get("usage", {}).get("completion_tokens"):
            planned.usage.append(kept["usage"]["completion_tokens"] / len(captions))
        yield len(captions) == len(request.wanted)


def _text_tokens(config: RegionCapConfig, prompts: Prompts) -> float:
    fields = dict.fromkeys(config.prompt_fields(), "some words")
    of_regions = [dict.fromkeys(config.region_fields, "a word")] * config.max_boxes
    wanted = range(1, (1 if config.prompt_mode == "focal" else config.max_boxes) + 1)
    asked = prompts.focal_text(1, config.max_boxes, fields, of_regions)
    if config.prompt_mode != "focal":
        asked = prompts.marks_text(config.max_boxes, fields, of_regions)
    text = f"{prompts.system_text(fields)}{asked}{form_of_answer(wanted, json=False)}"
    return len(text) / CHARS_A_TOKEN
