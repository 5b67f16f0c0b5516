"""Answers for drawn rows: looked up in the cache, requested where they are missing, stored as they come.

An answer's key is made of everything that decides its words; rows with the same key share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from regioncap.captioners.base import Captioner, CaptionRequest, CaptionResult, MarkGroup, Prompt, Received
from regioncap.captioners.replies import joined
from regioncap.records import Counts, Row
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.storage.answers import answer_key
from regioncap.storage.claims import Claim
from regioncap.storage.journal import Entry
from regioncap.tasks.cached_answer import MAX_FAILED_RUNS, CachedAnswer
from regioncap.tasks.draw_row import groups_of, marked_jpeg, read_unchanged
from regioncap.tasks.recovery import recover
from regioncap.vision.drawing import DRAW_VERSION
from regioncap.vision.images import fit_size

KEY_VERSION = 1


def request_of(row: Row, context: RunContext) -> CaptionRequest:
    """The first request for a row: all of its regions. Pictures are read when the captioner needs them."""
    groups = groups_of(row, context.config)
    return CaptionRequest(
        name=row["image"],
        image=lambda: read_unchanged(row, context.images.read),
        marked=lambda: marked_jpeg(row, context),
        width=row["width"],
        height=row["height"],
        picture_wh=_picture_wh(row, context),
        bbox=row["bbox"],
        wanted=tuple(range(1, row["valid_bboxes_num"] + 1)),
        on_disk=context.cache.is_local and context.config.draw_visualization and "marked" in row,
        fields=row.get("fields", {}),
        region_fields=row.get("region_fields", ()),
        parts=[
            MarkGroup(group, partial(marked_jpeg, row, context, number))
            for number, group in enumerate(groups if len(groups) > 1 else ())
        ],
    )


def _picture_wh(row: Row, context: RunContext) -> tuple[int, int]:
    """Size in pixels of the picture that the model sees of a row, whether it is drawn already or not."""
    if "marked" in row:
        return row["marked"]["width"], row["marked"]["height"]
    return fit_size((row["width"], row["height"]), max_pixels=context.config.max_pixels)


def key_of_answer(row: Row, prompt: Prompt, context: RunContext, request: CaptionRequest | None = None) -> str:
    """The key of the row's answer: everything that decides its words, and nothing else.

    `request`: given where captions are requested again, also by an audit: that answer is stored beside the first.
    """
    marks = {**context.mark_settings, "draw_version": DRAW_VERSION}
    groups = groups_of(row, context.config)
    if len(groups) > 1:  # else all regions share one picture, whatever the setting
        marks["groups"] = [len(group) for group in groups]
    return answer_key(
        {
            "key_version": KEY_VERSION,
            "image_sha256": row["image_sha256"],
            "bbox": row["bbox"],
            "marks": marks,
            "prompt": prompt.text,
            "system_prompt": prompt.system,
            **context.captioner.identity(),
            **({"again": list(request.wanted)} if request is not None and request.again else {}),
            **({"rejected": request.rejected} if request is not None and request.rejected else {}),
            **({"arm": request.arm} if request is not None and request.arm else {}),
        }
    )


def repair_request(request: CaptionRequest, number: int) -> CaptionRequest:
    """The request for another caption of a row's region `number`, instead of one that has flags."""
    return replace(request, wanted=(number,), again=True)


def rejected_request(request: CaptionRequest, number: int, caption: str) -> CaptionRequest:
    """The request for another caption of a row's region `number`, instead of `caption`, which a person rejected."""
    return replace(request, wanted=(number,), again=True, rejected=caption)


def open_regions(row: Row, context: RunContext) -> tuple[int, ...]:
    """The numbers of a drawn row's regions that nobody has decided on: the first request asks for these."""
    edits = context.edits.of_row(row)
    return tuple(number for number in range(1, row["valid_bboxes_num"] + 1) if number not in edits)


def requests_for_rejected(row: Row, context: RunContext) -> Iterator[CaptionRequest]:
    """The requests for other captions of a drawn row's regions whose captions people rejected."""
    rejected = {number: edit for number, edit in context.edits.of_row(row).items() if not edit.final}
    for number, edit in rejected.items():
        yield rejected_request(request_of(row, context), number, edit.caption)


def keys_of_answers(row: Row, context: RunContext) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(key, its regions) of all answers that may be looked up for a drawn row: the first, and those requested again.

    Raises RowReject for a row that lacks a field of the prompt.
    """
    request = request_of(row, context)
    yield key_of_answer(row, context.captioner.prompt(request), context), request.wanted
    flagged = request.wanted if context.config.repair_flags else ()
    repairs = (repair_request(request, number) for number in flagged)
    for again in (*repairs, *requests_for_rejected(row, context)):
        yield key_of_answer(row, context.captioner.prompt(again), context, again), again.wanted


def ask(
    row: Row,
    context: RunContext,
    *,
    ignore_cached: bool = False,
    early: Mapping[str, PendingAnswer] = MappingProxyType({}),
) -> PendingAnswer:
    """Look up which captions of a drawn row are cached, and request those that are missing and that nobody edited.

    `ignore_cached`: request all of them. `early`: what was requested ahead, by the answer's key. Raises RowReject for a
    row that lacks a field of the prompt.
    """
    needed = open_regions(row, context)
    return send_for(row, request_of(row, context), context, ignore_cached, early, needed)


def send_for(
    row: Row,
    request: CaptionRequest,
    context: RunContext,
    ignore_cached: bool = False,
    early: Mapping[str, PendingAnswer] = MappingProxyType({}),
    needed: tuple[int, ...] | None = None,
) -> PendingAnswer:
    """As `ask`, for another request than the row's first. `needed`: those of its regions that matter; None: all."""
    prompt = context.captioner.prompt(request)
    needed = request.wanted if needed is None else needed
    if not context.captioner.paid:
        context.progress.add(Counts(captions_asked=len(needed)))
        wanted = replace(request, wanted=needed)
        return PendingAnswer(row, prompt.text, context.captioner.submit(wanted) if needed else _nothing())
    key = key_of_answer(row, prompt, context, request)
    if key in early:
        return replace(early[key], row=row, prompt=prompt.text)
    return obtain(key, row, request, context, prompt=prompt.text, needed=needed, ignore_cached=ignore_cached)


def obtain(
    key: str,
    row: Row,
    request: CaptionRequest,
    context: RunContext,
    *,
    prompt: str,
    needed: tuple[int, ...],
    ignore_cached: bool = False,
) -> PendingAnswer:
    """The answer `key`, from the cache or by `request`; rows that need it at the same time share it."""
    future, owner = context.in_flight.claim(key)
    if owner:
        try:
            context.claims.join(partial(recover, context, again=True))
            recover(context)  # after it has joined: a run that dies meanwhile may leave no claims, which would tell
            cached = CachedAnswer() if ignore_cached else CachedAnswer.find(key, request.wanted, context)
            _complete(_Answer(key, request, needed, cached, context, ignore_cached=ignore_cached))
        except BaseException as error:
            context.in_flight.settle(key, error)
            raise
    return PendingAnswer(row, prompt, future, owner, key)


def _nothing() -> Future[CaptionResult]:
    nothing: Future[CaptionResult] = Future()
    nothing.set_result(CaptionResult({}))
    return nothing


def _complete(answer: _Answer) -> None:
    """Request what an answer lacks, if anything; its future is settled when all is there."""
    cached, context = answer.cached, answer.context
    if cached.to_store:
        cached.store(answer.key, context, answer.model)
    missing = tuple(number for number in answer.needed if number not in cached.captions)
    if not missing:
        answer.settle(CaptionResult(cached.captions, cached.usage, cached.warnings, cut=cached.cut))
    elif cached.on_hold(context.config):
        answer.settle(cached.held_back())
    else:
        claim = partial(answer.claim, len(missing))
        future = answer.captioner.submit(
            replace(answer.request, wanted=missing, claim=claim, record=answer.record, keep=answer.keep)
        )
        future.add_done_callback(answer.on_done)


@dataclass(frozen=True)
class _Answer:
    """An answer that is being completed: what is cached of it, and what comes. `needed`: which of the regions of its
    `request` it is complete with. `ignore_cached`: request it whatever is cached."""

    key: str
    request: CaptionRequest
    needed: tuple[int, ...]
    cached: CachedAnswer
    context: RunContext
    ignore_cached: bool = False

    @property
    def captioner(self) -> Captioner:
        """Who is asked."""
        return self.context.captioner if self.request.question is None else self.context.region_model

    @property
    def model(self) -> str:
        """The name of the model that is asked."""
        return self.captioner.model

    def claim(self, missing: int) -> bool:
        """Whether captions for the regions that are `missing` may be requested now: no other run does, or did."""
        if not self.ignore_cached:
            claim = self.context.claims.acquire(self.key)
            if claim is Claim.TAKEN or (claim is Claim.OURS and self._came_elsewhere()):
                return False
        if self.request.question is not None:
            self.context.progress.add(Counts(regions_asked=1))
        elif self.request.arm is None:
            self.context.progress.add(Counts(captions_asked=missing))
        return True

    def _came_elsewhere(self) -> bool:
        """Whether another run has stored captions since it was looked up."""
        latest = CachedAnswer.find(self.key, self.request.wanted, self.context, fresh=True)
        if latest.captions.keys() <= self.cached.captions.keys():
            return False
        self.context.claims.release(self.key)
        return True

    def _resume(self) -> None:
        """The answer may have come to another run, or is for this one to request now."""
        try:
            _complete(replace(self, cached=CachedAnswer.find(self.key, self.request.wanted, self.context, fresh=True)))
        except BaseException as error:
            self.settle(error)

    def record(self, received: Received) -> None:
        """Put a reply into the journal, before anything else is done with it: from there it survives a kill."""
        entry = Entry(
            self.key, self.request.wanted, self.model, received.order, received.reply.as_json(),
            received.prompt_tokens, received.completion_tokens,
        )  # fmt: skip
        self.context.journal.append(entry)

    def keep(self, result: CaptionResult) -> None:
        """Store what there is by now, whatever becomes of the rest."""
        whole = self._with_cached(result)
        latest = CachedAnswer()
        if len(whole.captions) < len(self.request.wanted):
            # Another run on this cache may have got further meanwhile, or needs more of the regions: what it paid for
            # is not given up for less. Nobody has more than all of them; it saves an object store a request.
            latest = CachedAnswer.find(self.key, self.request.wanted, self.context, fresh=True)
        captions = {**latest.captions, **whole.captions}
        complete = not self._incomplete(captions)
        failed = result.model_failure and not complete
        replies = [reply.as_json() for reply in result.replies]
        CachedAnswer(
            captions=captions,
            usage=whole.usage,
            warnings=whole.warnings,
            replies=joined(self.cached.replies, replies, latest.replies),
            failed_runs=self.cached.failed_runs + 1 if failed else 0 if complete else latest.failed_runs,
            failure=result.message if failed else latest.failure,
        ).store(self.key, self.context, self.model)
        self.context.journal.stored(self.key, replies)

    def on_done(self, future: Future[CaptionResult]) -> None:
        """The captioner is done with what was missing."""
        error = future.exception()
        if error is not None:
            self.settle(error)
            return
        result = future.result()
        if result.elsewhere:
            self.context.claims.when_free(self.key, self._resume)
            return
        result.on_hold = result.model_failure and self.cached.failed_runs + 1 >= MAX_FAILED_RUNS
        new = len(result.captions)
        if self.request.question is None:
            self.context.progress.add(
                Counts(captions_new=new) if self.request.arm is None else Counts(captions_audited=new)
            )
        self.settle(self._with_cached(result))

    def settle(self, result: CaptionResult | BaseException) -> None:
        """Hand the result to all rows that wait for it, in other runs too."""
        self.context.claims.release(self.key)
        self.context.in_flight.settle(self.key, result)

    def _incomplete(self, captions: Mapping[int, str]) -> bool:
        return any(number not in captions for number in self.needed)

    def _with_cached(self, result: CaptionResult) -> CaptionResult:
        usage = Counter(self.cached.usage)
        usage.update(result.usage)
        captions = {**self.cached.captions, **result.captions}
        return replace(result, captions=captions, usage=dict(usage), warnings=self.cached.warnings + result.warnings)
