"""Results that were put beside a file of requests become answers.

    NAME.requests.jsonl     the requests, written by a run
    NAME.results.jsonl      their results: whoever answers is done
    NAME.results-….jsonl    some of them; others may follow

In whatever order, more than once, damaged or of something else: what answers a request is stored, and what does not is
named.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from regioncap.records import loads
from regioncap.storage.batch_records import Asked, BatchRecord
from regioncap.storage.filesystem import Place
from regioncap.tasks.batch_packing import PackingDesk
from regioncap.tasks.batch_results import Collected, take_result
from regioncap.tasks.cached_answer import CachedAnswer
from regioncap.tasks.file_packing import REQUESTS

RESULTS, ENDING = ".results", ".jsonl"

ROW_STATUSES = frozenset({400, 413, 422})
"""Of requests that may be refused for what is in them."""

logger = logging.getLogger("regioncap")


def name_of(request_file: str) -> str:
    """What the names of a request file and of its results begin with.

    >>> name_of("/a/photos-12.requests.jsonl")
    'photos-12'
    """
    return request_file.rpartition("/")[2].removesuffix(REQUESTS)


def results_among(names: Iterable[str], name: str) -> list[str]:
    """Of the `names` of files those that are results of the request file `name`, the whole ones last."""
    whole = f"{name}{RESULTS}{ENDING}"
    found = sorted(each for each in names if each.startswith(f"{name}{RESULTS}") and each.endswith(ENDING))
    return [*(each for each in found if each != whole), *(each for each in found if each == whole)]


@dataclass(frozen=True)
class FileState:
    """How far a request file is. `answered`: its requests that have an answer. `over`: nothing more will come of it;
    then `missing` has the keys of its answers that lack a reply, and `in_vain` those whose requests were refused for
    what is in them, with why. `note`: what is to be said of its results; "" for nothing."""

    record: BatchRecord
    answered: int = 0
    over: bool = False
    missing: frozenset[str] = frozenset()
    in_vain: Mapping[str, tuple[Asked, str]] = field(default_factory=dict)
    note: str = ""


def read_results(desk: PackingDesk, record: BatchRecord, there: Mapping[str, int]) -> FileState:
    """Store what there is of results. `there`: the names of the files in the folder.

    A file is over when it was given up, when all is answered, and when whoever answers is done: then there are the
    whole results, or each request is named. But one of which nothing was answered is not: its results are of another
    model or of something else, or all was refused, and it need not be written again for that.

    Safe to repeat. Raises StorageError.
    """
    left = {each.id: each for each in desk.records.requests(record.id)}
    found, cut, folder = Collected(), False, desk.context.files.place(record.request_file).parent
    name = name_of(record.request_file)
    results = results_among(there, name)
    for each in results:
        cut = _read(desk, record, folder.child(each), left, found)
    whole = f"{name}{RESULTS}{ENDING}" in results
    answered = record.requests - len(left)
    in_vain = _in_vain(desk, left, found, answered)
    done = (whole and not cut) or left.keys() <= found.failed.keys()
    over = not left or f"{name}{REQUESTS}" not in there or (done and bool(answered or in_vain))
    words = _words(found, record.model)
    if results and not over:
        words.append(_open_in_words(f"{name}{RESULTS}{ENDING}", len(left), cut=whole and cut, done=done))
    note = f"{name}: {'; '.join(words)}" if words else ""
    if not over:
        return FileState(record, answered, note=note)
    return FileState(record, answered, True, frozenset(each.key for each in left.values()), in_vain, note)


def _read(desk: PackingDesk, record: BatchRecord, place: Place, left: dict[str, Asked], found: Collected) -> bool:
    """Store what one file answers. Returns whether it ends within a line."""
    line = b""
    with suppress(FileNotFoundError), place.open() as file:
        for line in file:
            if line.strip():
                take_result(line, left, found, desk, record)
    return bool(line) and not line.endswith(b"\n") and not _is_json(line)


def _is_json(line: bytes) -> bool:
    with suppress(ValueError):
        loads(line)
        return True
    return False


def _in_vain(
    desk: PackingDesk, left: Mapping[str, Asked], found: Collected, answered: int
) -> dict[str, tuple[Asked, str]]:
    """Answers whose requests were refused for what is in them, with why, by key: others of the file were answered, or
    it was so before."""
    refused = {
        left[name].key: (left[name], problem.reason)
        for name, problem in found.failed.items()
        if problem.status in ROW_STATUSES
    }
    return refused if answered else {key: each for key, each in refused.items() if _failed_before(desk, each[0])}


def _failed_before(desk: PackingDesk, asked: Asked) -> bool:
    return CachedAnswer.find(asked.key, asked.regions, desk.context, fresh=True).failed_runs > 0


def finish(desk: PackingDesk, state: FileState) -> None:
    """A file is over: count what was refused as in vain, then remove the file and what is on record of it. The results
    are left to whoever put them there. Raises StorageError."""
    if not desk.context.config.rest_online:
        for key, (asked, reason) in state.in_vain.items():
            cached = CachedAnswer.find(key, asked.regions, desk.context, fresh=True)
            failed = replace(cached, failed_runs=cached.failed_runs + 1, failure=reason)
            failed.store(key, desk.context, model=state.record.model)
    # In this order: a file that nothing is on record of might be answered once more.
    desk.context.files.place(state.record.request_file).remove()
    desk.records.remove(state.record)
    answered, requests = f"{state.answered:,}", f"{state.record.requests:,}"
    logger.info("%s: %s of %s answers", name_of(state.record.request_file), answered, requests)


def _words(found: Collected, model: str) -> list[str]:
    """What is to be said of lines that answer nothing."""
    words = []
    if found.failed_in_words:
        words.append(f"requests that failed: {found.failed_in_words}")
    if found.damaged:
        words.append(f"damaged lines: {found.damaged:,}")
    if found.unasked:
        words.append(f"results that came twice, or answer no request of this file: {found.unasked:,}")
    if found.other_models:
        names = ", ".join(sorted(found.other_models))
        words.append(f"answers of model {names} are not taken: {model} was asked")
    return words


def _open_in_words(results: str, left: int, *, cut: bool, done: bool) -> str:
    """Why a file that has results is not over."""
    if cut:
        return f"{results} ends within a line; it counts as whole when it is"
    if done:
        return "no request is answered; have the file answered again, or delete it to give it up"
    return f"{left:,} requests have no result yet; {results} would say that no more come"
