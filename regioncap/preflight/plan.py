"""What a run would ask for and what that would cost: counted where possible, else estimated.

Reads every row, but only the headers of a sample of the images.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from regioncap.captioners.budget import TOKENS_PER_CAPTION
from regioncap.captioners.prompts import Prompts, form_of_answer
from regioncap.captioners.row_requests import largest_row
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RegionCapError, RowReject
from regioncap.image_ref import ref_of
from regioncap.output.join import ShardSteps
from regioncap.preflight.audit_plan import AuditPlan
from regioncap.preflight.first_rows import FirstRows
from regioncap.preflight.key_hints import key_hints
from regioncap.preflight.named_keys import check_named_keys
from regioncap.preflight.questions_plan import needs_questions, tokens_of_question
from regioncap.records import WITHOUT_BBOX, Row, Shard
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.storage.steps import StepDamaged
from regioncap.tasks.answers import (
    key_of_answer,
    open_regions,
    repair_request,
    request_of,
    requests_for_rejected,
)
from regioncap.tasks.cached_answer import CachedAnswer
from regioncap.tasks.caption import flagged
from regioncap.tasks.load import load_row
from regioncap.tasks.route import route_row, score_key_of
from regioncap.tasks.shard import STEPS, find_cached_steps, iter_cached_steps, made_steps
from regioncap.vision.images import fit_size, read_info

MAX_SAMPLED = 200
"""Images whose size is read."""

PATCH = 28
"""Side of one visual token in pixels: Qwen2.5-VL's."""

UNKNOWN_EDITS = (
    "edits: which of the {:,} fit a row is known once the images are read; rows that no run has read yet count as if "
    "none did"
)

CHARS_PER_TOKEN = 4


@dataclass(frozen=True)
class Missing:
    """How many captions a row lacks. `again`: those that are asked for one by one, since people rejected the first."""

    first: int = 0
    again: int = 0


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
    """Rows that are captioned, rejected or on hold."""
    rows_to_ask: int = 0
    requests: int = 0
    questions: int = 0
    """Of the requests, those that ask a model for the regions of a picture; at most, some may be answered already."""
    question_tokens: float = 0.0
    """Of the text of such a request."""
    found_tokens: float = 0.0
    """Of an answer to it."""
    image_tokens: float = 0.0
    """Per picture: mean of the sample."""
    text_tokens: float = 0.0
    """Per request."""
    answer_tokens: float = TOKENS_PER_CAPTION
    """Per region."""
    images_sampled: int = 0
    answers_sampled: int = 0
    """Cached answers that `answer_tokens` is the mean of."""
    regions_to_ask: int = 0
    exact: bool = True
    """Whether the regions to ask for are known of all rows: each has boxes, and no edit may take one away."""
    certain: bool = False
    """Whether a caption is known to be missing; else the answers of all rows may be cached."""
    files_left_out: dict[str, int] = field(default_factory=dict)
    """Files of an input folder that are not read, by kind."""
    usage: list[float] = field(default_factory=list, repr=False)
    """Answer tokens per region of each cached answer."""
    hints: list[str] = field(default_factory=list, repr=False)
    """In words, keys that are probably meant."""
    outdated: list[int] = field(default_factory=list, repr=False)
    """Of each row that has some, how many captions will be requested again since today's rules do not accept them."""
    audit: AuditPlan | None = field(default=None, repr=False)
    """What the run's own audit asks for; it is in the tokens and the price, and in no other count."""

    @property
    def prompt_tokens(self) -> int:
        """Of all requests."""
        requests = self.requests - self.questions + (self.audit.requests if self.audit is not None else 0)
        questions = self.questions * (self.image_tokens + self.question_tokens)
        return round(requests * (self.image_tokens + self.text_tokens) + questions)

    @property
    def completion_tokens(self) -> int:
        """Of all answers."""
        regions = self.regions_to_ask + (self.audit.regions if self.audit is not None else 0)
        return round(regions * self.answer_tokens + self.questions * self.found_tokens)

    @property
    def outdated_in_words(self) -> str:
        """How many captions today's rules no longer accept; "" if none."""
        captions, rows = sum(self.outdated), len(self.outdated)
        return f"{captions:,} captions of {rows:,} rows are no longer accepted by today's rules" if rows else ""

    def usd(self, per_m_in: float, per_m_out: float) -> float:
        """The price in US dollars, for prices per million prompt and answer tokens."""
        return (self.prompt_tokens * per_m_in + self.completion_tokens * per_m_out) / 1e6

    def usd_in_batches(self, config: RegionCapConfig) -> float | None:
        """The price in US dollars where all but the audit and the questions for regions is requested by batches or
        files; None where there are none, or the config has no prices."""
        if config.captioner_name != "openai" or config.prices is None:
            return None
        batches = replace(self, audit=None, requests=self.requests - self.questions, questions=0).usd(*config.prices)
        return self.usd(*config.prices) - (1 - config.batch_price) * batches


def count(context: RunContext, shards: Iterable[Shard], sizes: list[tuple[int, int]] | None = None) -> Plan:
    """How much of the input's `shards` is captioned, and how much is left. With `sizes`, the sizes of a sample of the
    images are added there.

    Raises UsageError and InputDamaged for the input, StorageError.
    """
    planned = Plan(audit=AuditPlan(context.config))
    all_cached: list[tuple[ShardSteps, float]] | None = []
    for shard, done in iter_cached_steps(shards, context):
        if done is not None and sizes is None:  # the run meets the same shard next, and need not check it again
            context.cached_shards[done[0].key] = done
            if all_cached is not None:
                all_cached.append((done, shard.share))
            planned.rows += len(shard.lines)
            planned.rows_done += len(shard.lines)
            continue
        all_cached = None
        nothing: list[Missing | None] = [Missing()] * len(shard.lines)
        missing = nothing if done is not None else _missing(shard, context, planned, sizes is None)
        asked = done is None and needs_questions(shard, context)
        for place, (number, text) in enumerate(shard.lines):
            planned.rows += 1
            row = load_row(number, shard.source, text, context.config.image_key)
            sent = _count_row(row, missing[place], context, planned, asked)
            if sent and sizes is not None:
                _sample_size(row, shard, context, planned, sizes)
    context.all_cached = all_cached
    return planned


def plan(config: RegionCapConfig) -> Plan:
    """Plan a run. Raises what `count` raises."""
    with contextlib.closing(RunContext(config)) as context:
        return plan_of(context)


def plan_of(context: RunContext) -> Plan:
    """Plan the run of `context`. Raises what `count` raises."""
    config = context.config
    sizes: list[tuple[int, int]] = []
    first = FirstRows(context)
    edits = len(context.edits)  # wrong ones are refused before the input is read
    check_named_keys(config, first)
    hints = key_hints(config, first)
    prompts = Prompts.of(config)
    planned = count(context, first.whole_input() or context.shards(), sizes)
    planned.hints = [*hints, UNKNOWN_EDITS.format(edits)] if edits and not planned.exact else hints
    planned.files_left_out = context.found.left_out
    if sizes:
        shown = [fit_size(size, max_pixels=config.max_pixels) for size in sizes]
        planned.image_tokens = statistics.mean(math.ceil(w / PATCH) * math.ceil(h / PATCH) for w, h in shown)
    planned.images_sampled = len(sizes)
    planned.text_tokens = text_tokens(config, prompts)
    if config.asks_for_regions:
        planned.question_tokens, planned.found_tokens = tokens_of_question(config)
    if planned.usage:
        planned.answer_tokens = statistics.mean(planned.usage)
        planned.answers_sampled = len(planned.usage)
    return planned


def _count_row(row: Row, missing: Missing | None, context: RunContext, planned: Plan, asked: bool) -> bool:
    """Count one row; returns whether anything is asked for it, maybe only by an audit. `missing`: None where only the
    row itself can tell. `asked`: whether a model may still be asked for its regions, if it brings none."""
    config = context.config
    try:
        if "reject" in row:
            raise RowReject(row["reject"]["code"], row["reject"]["message"])
        with row_work("plan", row["image"]):
            routed = route_row(
                {**row, "image_stat": None}, config.boxes_key, config.empty_bbox, score_key=score_key_of(config),
                size_from_row=config.box_size == "row",
            )  # fmt: skip
    except RowReject:
        planned.rejected += 1
        return False
    if routed["type"] == WITHOUT_BBOX:
        planned.without_bbox += 1
        regions = config.max_boxes
        planned.regions_at_most += regions
        planned.questions += asked
        planned.requests += asked
        planned.exact = planned.exact and missing is not None
    else:
        planned.with_bbox += 1
        regions = min(config.max_boxes, len(routed["boxes"]))
        planned.regions_given += regions
        asked = False
    audited = planned.audit is not None and planned.audit.add(regions)
    if missing is None and len(context.edits):
        planned.exact = False
    if missing == Missing():
        planned.rows_done += 1
    elif context.captioner.paid:
        planned.certain = planned.certain or missing is not None
        _count_requests(regions, missing or Missing(regions), config, planned)
        return True
    return audited or asked


def _count_requests(regions: int, missing: Missing, config: RegionCapConfig, planned: Plan) -> None:
    """Count what a row of `regions` regions will ask for."""
    first = missing.first if config.prompt_mode == "focal" else min(missing.first, len(config.groups_of(regions)))
    planned.requests += first + missing.again
    planned.rows_to_ask += 1
    planned.regions_to_ask += missing.first + missing.again


def _sample_size(row: Row, shard: Shard, context: RunContext, planned: Plan, sizes: list[tuple[int, int]]) -> None:
    """Add the size of the row's image to `sizes`, if it is in the sample and can be read."""
    # All of the first, then one in 64: a sample over the whole input without knowing its length.
    sampled = (
        planned.rows <= MAX_SAMPLED // 2 or zlib.crc32(str(ref_of(row)).encode("utf-8", "surrogatepass")) % 64 == 0
    )
    if sampled and len(sizes) < MAX_SAMPLED:
        with contextlib.suppress(RegionCapError), row_work("plan", row["image"]):
            data = shard.images.get(row["image"]) or context.images.read(ref_of(row))
            info = read_info(data, max_image_pixels=context.config.max_image_pixels)
            sizes.append((info.width, info.height))


def _missing(shard: Shard, context: RunContext, planned: Plan, run: bool) -> list[Missing | None]:
    """What each row of a shard lacks; None where its steps are not done yet, so that nobody knows.

    `run`: this is for a run, so that what is read by new rules may be stored.
    """
    unknown: list[Missing | None] = [None] * len(shard.lines)
    cached = find_cached_steps(shard, context, STEPS[:-1])
    # Captions may be outdated also where some rows of the shard will be tried again.
    drawn = cached or made_steps(shard, context, STEPS[:-1])
    if drawn is None:
        return unknown
    try:
        rows = context.storage.read(drawn[-1])
    except StepDamaged:
        return unknown
    in_order = map if context.cache.is_local else context.threads.io.map
    missing: list[Missing | None] = [*in_order(lambda row: _missing_of(row, context, planned, run), rows)]
    return missing if cached is not None else unknown


def _missing_of(row: Row, context: RunContext, planned: Plan, run: bool) -> Missing:
    """What a drawn row lacks; nothing where it is, or will be, a reject."""
    with contextlib.suppress(RowReject), row_work("plan", row.get("image", "")):
        if "reject" not in row:
            return Missing(_missing_of_drawn(row, context, planned, run), _rejected_without_answer(row, context))
    return Missing()


def _rejected_without_answer(row: Row, context: RunContext) -> int:
    """How many captions of a drawn row people rejected that were not asked for again yet."""
    return sum(
        not answer.captions and not answer.on_hold(context.config)
        for request in requests_for_rejected(row, context)
        for key in [key_of_answer(row, context.captioner.prompt(request), context, request)]
        for answer in [CachedAnswer.find(key, request.wanted, context)]
    )


def _missing_of_drawn(row: Row, context: RunContext, planned: Plan, run: bool) -> int:
    needed = open_regions(row, context)
    if not context.captioner.paid:
        return len(needed)
    request = request_of(row, context)
    key = key_of_answer(row, context.captioner.prompt(request), context)
    answer = CachedAnswer.find(key, request.wanted, context)
    if answer.captions and answer.usage.get("completion_tokens"):
        planned.usage.append(answer.usage["completion_tokens"] / len(answer.captions))
    if answer.on_hold(context.config):
        return 0
    outdated = sum(number in needed for number in answer.outdated) + sum(_outdated_again(row, answer.captions, context))
    if outdated:
        planned.outdated.append(outdated)
    elif answer.to_store and run:
        answer.store(key, context)  # for the run not to read it once more
    return sum(number not in answer.captions for number in needed)


def _outdated_again(row: Row, captions: dict[int, str], context: RunContext) -> Iterator[int]:
    """How many of the captions are outdated that were requested again for flagged ones."""
    if context.config.repair_flags and len(captions) == row["valid_bboxes_num"]:
        request = request_of(row, context)
        texts = [captions[number] for number in request.wanted]
        for number in flagged(row, texts, context):
            again = repair_request(request, number)
            key = key_of_answer(row, context.captioner.prompt(again), context, again)
            yield len(CachedAnswer.find(key, again.wanted, context).outdated)


def text_tokens(config: RegionCapConfig, prompts: Prompts) -> float:
    """About how many tokens the texts of one request have."""
    row = largest_row(config, prompts, "some words")
    filled = config.max_boxes, row.fields, row.region_fields
    focal = config.prompt_mode == "focal"
    asked = prompts.focal_text(1, *filled) if focal else prompts.marks_text(*filled)
    answer = form_of_answer((1,) if focal else row.wanted, json=False)
    text = f"{prompts.system_text(*filled)}{asked}{answer}"
    return len(text) / CHARS_PER_TOKEN
