"""The results of requests become answers: each reply is stored as what a killed run had received is."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regioncap.captioners.batch_api import Batch
from regioncap.captioners.budget import text_tokens
from regioncap.captioners.chat import ChatRequest, ChatResponse, loads_body
from regioncap.captioners.replies import Reply
from regioncap.masking import outside_text
from regioncap.records import Counts, dumps
from regioncap.storage.batch_records import Asked, BatchRecord
from regioncap.storage.journal import Entry
from regioncap.tasks.batch_desk import BatchDesk
from regioncap.tasks.batch_packing import PackingDesk
from regioncap.tasks.recovery import store_replies

RESULTS = "results.jsonl"

DOWNLOADS = 3
"""How often a result file is fetched that lacks results, or is damaged: it may have been cut on its way."""

REASON_CHARS = 160
"""Of why a request failed."""

MAX_REASONS = 5
"""That are named."""

_VERSION = re.compile(r"(?:[-@:_](?:[0-9]{3,}[0-9-]*|latest|v[0-9]+))?")
"""What providers add to a model's name: `-2025-04-14`, `:latest`. A size is none: `-mini`, `-7b`."""

logger = logging.getLogger("regioncap")


@dataclass(frozen=True)
class Problem:
    """Why a request has no answer: in words, with the HTTP status; 0 where there is none."""

    status: int
    reason: str


@dataclass
class Collected:
    """What results brought. `stored`: replies that are new. `unasked`: results of requests that are not ours, or came
    before. `damaged`: lines that are no results. `failed`: why requests failed, by custom_id. `other_models`: which
    others gave answers that are not taken. `missing`: keys of the answers that lack a reply."""

    stored: int = 0
    unasked: int = 0
    damaged: int = 0
    failed: dict[str, Problem] = field(default_factory=dict)
    other_models: Counter[str] = field(default_factory=Counter)
    missing: set[str] = field(default_factory=set)

    @property
    def failed_in_words(self) -> str:
        """Why requests failed, and how many; what most of them failed for comes first."""
        reasons = Counter(problem.reason for problem in self.failed.values())
        named = [f"{reason} ({count:,})" for reason, count in reasons.most_common(MAX_REASONS)]
        others = len(self.failed) - sum(count for _, count in reasons.most_common(MAX_REASONS))
        return ", ".join([*named, f"others ({others:,})"] if others else named)


def collect(desk: BatchDesk, record: BatchRecord, batch: Batch) -> Collected:
    """Store the results of a batch that is over, then delete it here and at the provider. Safe to repeat after a kill.

    Result files in which something is not as it should be stay at the provider. Raises CaptionerError, StorageError,
    Stopped.
    """
    asked = {each.id: each for each in desk.records.requests(record.id)}
    results = tuple(filter(None, (batch.output_file, batch.error_file)))
    doubtful = len(asked) < record.requests
    found = Collected()
    for file in results:
        doubtful |= not _store_results(file, asked, found, desk, record, batch)
    found.missing |= {each.key for each in asked.values()}
    _say(found, record, batch)
    if doubtful:
        logger.warning(
            "batch %s: not all of its results could be read; its result files stay at the provider: %s",
            batch.id, ", ".join(results) or "none",
        )  # fmt: skip
    finish(desk, desk.records.write(record.changed(to_delete=(*(() if doubtful else results), record.file))))
    return found


def finish(desk: BatchDesk, record: BatchRecord) -> None:
    """Delete what is not needed any more of a batch whose results are stored. Raises StorageError, Stopped."""
    for file in record.to_delete or ():
        desk.discard(file)
    desk.records.remove(record)


def _store_results(
    file: str, asked: dict[str, Asked], found: Collected, desk: BatchDesk, record: BatchRecord, batch: Batch
) -> bool:
    """Store what a result file has; what it answers is not `asked` any more. Returns whether it is whole."""
    path = desk.folder / RESULTS
    results = batch.results if file == batch.output_file else 0
    for number in range(1, DOWNLOADS + 1):
        if not desk.do(desk.api.download, file, path):
            logger.warning("batch %s: its file %s is gone; what was in it is requested again", batch.id, file)
            return True  # there is nothing to keep
        names, new = set[str](), Collected()
        for line in _lines(path):
            names.add(take_result(line, asked, new, desk, record))
        path.unlink()
        whole = not new.damaged and len(names) >= results
        found.stored += new.stored
        found.failed |= new.failed
        if whole or number == DOWNLOADS:
            found.damaged += new.damaged
            found.unasked += new.unasked if number == 1 else 0  # what was stored is not asked any more
            return whole
    return False


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from (line for line in file if line.strip())


def take_result(line: bytes, asked: dict[str, Asked], found: Collected, desk: PackingDesk, record: BatchRecord) -> str:
    """Store what one line of a result file answers: that is not `asked` any more. Returns its custom_id, or ""."""
    try:
        result = loads_body(line)
        name = str(result["custom_id"])
    except (ValueError, KeyError, TypeError):
        found.damaged += 1
        return ""
    if name not in asked:
        found.unasked += 1
        return name
    response = _response_in(result, found, desk, record)
    if isinstance(response, Problem):
        found.failed[name] = response
    else:
        found.failed.pop(name, None)
        found.stored += _store(asked.pop(name), response, desk, record)
    return name


def _response_in(
    result: dict[str, Any], found: Collected, desk: PackingDesk, record: BatchRecord
) -> ChatResponse | Problem:
    """The answer of a line's result, or why there is none."""
    response = result.get("response")
    given = response if isinstance(response, dict) else {}
    body = given.get("body")
    status = str(given.get("status_code") or (200 if body else ""))
    number = int(status) if re.fullmatch("[1-5][0-9][0-9]", status) else 0
    if (reason := _reason(result.get("error"), status)) or not 200 <= number < 300:
        return Problem(number, reason or _reason(body, status) or status or "no response")
    if record.request_file and (other := _other_model(body, record.model)):
        found.other_models[other] += 1
        return Problem(0, f"an answer of model {other}")
    try:
        answer = desk.wording.read(dumps(body), record.form)
    except ValueError:
        return Problem(number, "no chat completion")
    return Problem(number, "an error in place of an answer") if answer.error is not None else answer


def _reason(error: Any, status: str) -> str:
    """Why a request failed, in a few words; "" where `error`, a text or an object, says nothing."""
    inner = error.get("error") if isinstance(error, dict) else None  # of vLLM, and of all bodies
    error = inner if isinstance(inner, dict | str) else error
    if isinstance(error, dict):  # some write one whose fields are null
        code, message = error.get("code"), error.get("message")
        words = code if isinstance(code, str) else f"{code or status}: {message}" if message else code
    else:
        words = error and f"{status}: {error}" if status else error
    return outside_text(str(words or ""), max_chars=REASON_CHARS)


def _other_model(body: Any, asked: str) -> str:
    """The model that an answer names, where it cannot be the one `asked` for; "" where it may be: providers add a
    version, and a folder is named in more than one way."""
    named = body.get("model") if isinstance(body, dict) else None
    if not isinstance(named, str) or not named:
        return ""
    short, long = sorted((name.casefold().rstrip("/").rpartition("/")[2] for name in (asked, named)), key=len)
    is_same = long.startswith(short) and _VERSION.fullmatch(long, len(short))
    return "" if is_same else outside_text(named, max_chars=REASON_CHARS)


def _store(each: Asked, response: ChatResponse, desk: PackingDesk, record: BatchRecord) -> int:
    """Store a reply with its answer, and count what it cost. Returns whether it is new."""
    context = desk.context
    # Of what was asked, a reply keeps only these.
    question = ChatRequest("", "", (b"-",), each.wanted, each.offset, each.mode)
    reply = Reply.of(question, response).as_json()
    entry = Entry(
        each.key, each.regions, record.model, each.order, reply, response.prompt_tokens, response.completion_tokens
    )
    new = store_replies([entry], context, repaired=each.repair)
    if new:
        read = Reply.of_json(reply).read(context.config.accept_finish_reasons)
        prompt, completion = response.prompt_tokens, response.completion_tokens
        if not response.usage_given:
            prompt, completion = each.tokens, text_tokens(response.text)
        context.progress.add(
            Counts(
                captions_asked=len(each.wanted),
                captions_new=len(read),
                captions_repaired=len(read) if each.repair else 0,
                requests=1,
                prompt_tokens=prompt,
                completion_tokens=completion,
                batch_prompt_tokens=prompt,
                batch_completion_tokens=completion,
                answers_without_usage=0 if response.usage_given else 1,
                finish_reasons={response.finish_reason: 1},
            )
        )
    return new


def _say(found: Collected, record: BatchRecord, batch: Batch) -> None:
    logger.info("batch %s is %s: %s of %s answers", batch.id, batch.status, f"{found.stored:,}", f"{record.requests:,}")
    if batch.problem:
        logger.warning("batch %s: %s", batch.id, batch.problem[:300])
    if found.failed:
        logger.warning(
            "batch %s: requests that failed: %s: %s", batch.id, f"{len(found.failed):,}", found.failed_in_words
        )
    if found.unasked or found.damaged:
        logger.warning(
            "batch %s: %d results ignored, of requests that are not ours or that came twice; %d damaged lines",
            batch.id, found.unasked, found.damaged,
        )  # fmt: skip
