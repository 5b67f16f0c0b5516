"""The results of a batch become answers: each reply is stored as what a killed run had received is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regioncap.captioners.batch_api import Batch
from regioncap.captioners.chat import ChatRequest, ChatResponse
from regioncap.captioners.replies import Reply
from regioncap.records import Counts, dumps, loads
from regioncap.storage.batch_records import Asked, BatchRecord
from regioncap.storage.journal import Entry
from regioncap.tasks.batch_desk import BatchDesk
from regioncap.tasks.recovery import store_replies

RESULTS = "results.jsonl"

logger = logging.getLogger("regioncap")


@dataclass
class Collected:
    """What a batch brought. `stored`: replies that are new. `unasked`: results of requests that are not ours, or came
    before. `damaged`: lines that are no results. `failed`: why requests failed, by reason. `missing`: keys of the
    answers that lack a reply."""

    stored: int = 0
    unasked: int = 0
    damaged: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


def collect(desk: BatchDesk, record: BatchRecord, batch: Batch) -> Collected:
    """Store the results of a batch that is over, then delete it here and at the provider. Safe to repeat after a kill.

    Raises CaptionerError, StorageError, Stopped.
    """
    asked = {each.id: each for each in desk.records.requests(record.id)}
    found = Collected()
    for file in filter(None, (batch.output_file, batch.error_file)):
        path = desk.folder / RESULTS
        if not desk.do(desk.api.download, file, path):
            logger.warning("batch %s: its file %s is gone; what was in it is requested again", batch.id, file)
            continue
        for line in _lines(path):
            _take(line, asked, found, desk, record)
        path.unlink()
    found.missing |= {each.key for each in asked.values()}
    _say(found, record, batch)
    for file in filter(None, (batch.output_file, batch.error_file, record.file)):
        desk.do(desk.api.delete, file)
    desk.records.remove(record)
    return found


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from (line for line in file if line.strip())


def _take(line: bytes, asked: dict[str, Asked], found: Collected, desk: BatchDesk, record: BatchRecord) -> None:
    """One line of a result file. What it answers is not `asked` any more."""
    try:
        result = loads(line)
        name = str(result["custom_id"])
    except (ValueError, KeyError, TypeError):
        found.damaged += 1
        return
    if name not in asked:
        found.unasked += 1
        return
    problem, response = _response_in(result, desk, record)
    if response is None:
        found.failed[problem] = found.failed.get(problem, 0) + 1
        return
    each = asked.pop(name)
    found.stored += _store(each, response, desk, record)


def _response_in(result: dict[str, Any], desk: BatchDesk, record: BatchRecord) -> tuple[str, ChatResponse | None]:
    """(why there is no answer, the answer) of a line's result."""
    response = result.get("response")
    given = response if isinstance(response, dict) else {}
    error = result.get("error")
    status = given.get("status_code", 200 if given.get("body") else 0)
    if error or not isinstance(status, int) or not 200 <= status < 300:
        code = error.get("code") if isinstance(error, dict) else None
        return str(code or status or "no response")[:40], None
    try:
        answer = desk.endpoint.read(dumps(given["body"]), record.form)
    except (KeyError, ValueError):
        return "no chat completion", None
    return ("an error in place of an answer", None) if answer.error is not None else ("", answer)


def _store(each: Asked, response: ChatResponse, desk: BatchDesk, record: BatchRecord) -> int:
    """Store a reply with its answer, and count what it cost. Returns whether it is new."""
    context = desk.context
    # Of what was asked, a reply keeps only these.
    question = ChatRequest("", "", (b"-",), each.wanted, each.offset, each.mode)
    reply = Reply.of(question, response).as_json()
    entry = Entry(
        each.key, each.regions, record.model, each.order, reply, response.prompt_tokens, response.completion_tokens
    )
    new = store_replies([entry], context)
    if new:
        read = Reply.of_json(reply).read(context.config.accept_finish_reasons)
        context.progress.add(
            Counts(
                captions_asked=len(each.wanted),
                captions_new=len(read),
                requests=1,
                prompt_tokens=response.prompt_tokens,
                completion_tokens=response.completion_tokens,
                batch_prompt_tokens=response.prompt_tokens,
                batch_completion_tokens=response.completion_tokens,
                finish_reasons={response.finish_reason: 1},
            )
        )
    return new


def _say(found: Collected, record: BatchRecord, batch: Batch) -> None:
    logger.info("batch %s is %s: %s of %s answers", batch.id, batch.status, f"{found.stored:,}", f"{record.requests:,}")
    if batch.problem:
        logger.warning("batch %s: %s", batch.id, batch.problem[:300])
    if found.failed:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(found.failed.items()))
        logger.warning("batch %s: requests that failed: %s", batch.id, reasons)
    if found.unasked or found.damaged:
        logger.warning(
            "batch %s: %d results ignored, of requests that are not ours or that came twice; %d damaged lines",
            batch.id, found.unasked, found.damaged,
        )  # fmt: skip
