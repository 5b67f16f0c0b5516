"""Replies that killed runs had received and not stored yet are stored with their answers, before anything is asked."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from regioncap.captioners.asking import warnings_of
from regioncap.captioners.replies import Reply, joined, read_again
from regioncap.errors import RowReject
from regioncap.records import dumps
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.run.threads import IO_THREADS
from regioncap.storage.journal import DeadJournal, Entry, dead_journals, journal_folder
from regioncap.tasks.cached_answer import CachedAnswer, reading_rules

logger = logging.getLogger("regioncap")


def recover(context: RunContext, *, again: bool = False) -> None:
    """Store what killed runs on this cache left in their journals on this machine; once a run, unless `again`.

    Nothing happens for a captioner without replies. Raises StorageError.
    """
    with context.recovery:
        if context.recovered and not again:
            return
        folder = journal_folder(context.cache)
        if folder is None or (reading_rules(context) is None and not context.config.asks_for_regions):
            return
        try:
            with dead_journals(folder) as journals:
                for journal in journals:
                    _recover(journal, context)
        except OSError as error:
            logger.warning("%s: what killed runs left cannot be recovered: %s", folder, error)
        context.recovered = True


def _recover(journal: DeadJournal, context: RunContext) -> None:
    by_key: dict[str, list[Entry]] = {}
    damaged = journal.damaged
    for entry in journal.entries:
        if _is_reply(entry):
            by_key.setdefault(entry.key, []).append(entry)
        else:
            damaged += 1
    recovered = sum(_many_at_once(lambda entries: store_replies(entries, context), by_key.values(), context))
    if recovered:
        logger.info("recovered from a killed run: %d replies that it had not stored yet", recovered)
    if damaged:
        logger.warning("%s: damaged entries skipped: %d; their captions may be requested again", journal.path, damaged)


def _many_at_once(
    store: Callable[[list[Entry]], int], answers: Collection[list[Entry]], context: RunContext
) -> list[int]:
    """What `store` gives for each. Most are stored already; in an object store it takes a while to see that."""
    if context.cache.is_local or not answers:
        return list(map(store, answers))
    # Not in the run's threads: all of those may be waiting for this to end.
    with ThreadPoolExecutor(min(IO_THREADS, len(answers)), thread_name_prefix="recovery") as threads:
        return list(threads.map(store, answers))


def _is_reply(entry: Entry) -> bool:
    with contextlib.suppress(RowReject, KeyError, TypeError, AttributeError, ValueError):
        reply = Reply.of_json(entry.reply)
        with row_work("recovery", entry.key):
            reply.read()
        return True
    return False


def store_replies(entries: Sequence[Entry], context: RunContext, *, repaired: bool = False) -> int:
    """Add those replies of one answer to it that it lacks, and what they yield; returns how many. Captions that are
    stored stay. `repaired`: the replies were asked for since others lacked captions."""
    key, wanted = entries[0].key, entries[0].wanted
    found = CachedAnswer.find(key, wanted, context, fresh=True)
    stored = {dumps(reply) for reply in found.replies}
    new = sorted((entry for entry in entries if dumps(entry.reply) not in stored), key=lambda entry: entry.order)
    if new:
        replies = joined(found.replies, [entry.reply for entry in new])
        read = read_again({}, [entry.reply for entry in new], context.config.accept_finish_reasons)
        came = {number: text for number, text in read.items() if number in wanted and number not in found.captions}
        captions = {**came, **found.captions}
        whole = len(captions) == len(wanted)
        usage = _usage(found, new, len(came) if repaired else 0)
        answer = replace(
            found, captions=captions, usage=usage, warnings=[*found.warnings, *warnings_of(came, context.config)],
            replies=replies, failed_runs=0 if whole else found.failed_runs,
        )  # fmt: skip
        answer.store(key, context, model=new[0].model)
    return len(new)


def _usage(found: CachedAnswer, new: Sequence[Entry], repaired: int) -> dict[str, int]:
    added = {
        **({"repaired": repaired} if repaired else {}),
        "requests": len(new),
        "prompt_tokens": sum(entry.prompt_tokens for entry in new),
        "completion_tokens": sum(entry.completion_tokens for entry in new),
    }
    return {**found.usage, **{name: found.usage.get(name, 0) + count for name, count in added.items()}}
