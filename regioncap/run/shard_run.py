"""Work that is done for a shard ahead of its step: marks drawn while `extract` has the pixels, and captions requested
as soon as a row's marks are drawn, so that neither the processors nor the model wait for the rest of the shard; and,
for the first shards of a command, regions found while Prefect starts.

All are shortcuts: a step that finds nothing here does its work itself, and its rows are the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from regioncap.records import WITH_BBOX, Row, Step, dumps
from regioncap.run.in_flight import PendingAnswer
from regioncap.run.memory import give_back_memory

if TYPE_CHECKING:
    # It imports OpenCV, for which no command should wait that reads no pictures.
    from regioncap.vision.images import Picture

STOP_CHECK_SECONDS = 0.25

Prerender = Callable[[Row, "Picture"], tuple[Row, Row] | None]
"""Draws the marks of a row from `extract`, given its decoded picture: the row as `normalize` and as `visualize` make
it; None when it must wait for its steps."""

Ask = Callable[[Row, Mapping[str, PendingAnswer]], PendingAnswer]
"""Requests the captions of a drawn row; given what the shard requested before, by the answer's key."""


class PrerenderedMarks:
    """What `visualize` adds to rows whose marks are drawn already; from any thread."""

    def __init__(self) -> None:
        self._added: dict[str, Row] = {}

    def put(self, normalized: Row, drawn: Row) -> None:
        """Keep what drawing added to a normalised row."""
        # An image that was animated has warnings before it is drawn; drawing adds to them.
        added = {name: drawn[name] for name in drawn if name not in normalized or name == "warnings"}
        self._added[self._key(normalized)] = added

    def get(self, normalized: Row) -> Row | None:
        """The row with its marks, if they were drawn."""
        added = self._added.get(self._key(normalized)) if self._added else None
        return None if added is None else {**normalized, **added}

    @staticmethod
    def _key(row: Row) -> str:
        return f"{row['image_sha256']} {row['bbox']}"


class WaitingRows:
    """How many rows of a shard still need something of the captioner; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requested = 0
        self._answered = 0
        self._all_requested = False

    def add(self, answer: Future[Any]) -> None:
        """A row's captions were requested."""
        with self._lock:
            self._requested += 1
        answer.add_done_callback(self._count_answered)

    def _count_answered(self, _: Future[Any]) -> None:
        with self._lock:
            self._answered += 1

    def none_to_come(self) -> None:
        """All rows are requested that will be; the others were rejected."""
        self._all_requested = True

    def of(self, rows: int) -> int:
        """Rows, of the shard's `rows`, that are to be requested or have no answer yet."""
        with self._lock:
            waiting = (self._requested if self._all_requested else rows) - self._answered
        return max(0, waiting)  # a step that is done again requests its rows again


class EarlyRequests:
    """Captions that were requested before `caption` came to their rows.

    `caption` takes up the answers from here, those that failed too: else a row that failed would be requested twice in
    one run. `lookups`: threads that look up which answers are stored; None where that is quicker than handing it over.
    """

    def __init__(self, ask: Ask, lookups: Executor | None = None) -> None:
        self._ask = ask
        self._pool = lookups
        self.waiting = WaitingRows()
        self._lock = threading.Lock()
        self._pending: dict[str, PendingAnswer] = {}
        """Without rows and prompts: `caption` has its own, and to keep both would double what a waiting row takes."""
        self._regions: dict[str, int] = {}
        self._lookups: list[Future[None]] = []

    def send(self, drawn: Row) -> None:
        """Request the captions of a row whose marks were just drawn. From any thread."""
        if self._pool is None:
            self._send(drawn)
        else:
            self._lookups.append(self._pool.submit(self._send, drawn))

    def _send(self, drawn: Row) -> None:
        # What fails here fails again when `caption` comes to the row, and is reported there.
        with contextlib.suppress(Exception):
            pending = self._ask(drawn, self._pending)
            with self._lock:
                self._pending[pending.key] = replace(pending, row={}, prompt="")
                self._regions[pending.key] = drawn.get("valid_bboxes_num", 0)
            self.waiting.add(pending.future)

    def pending(self) -> dict[str, PendingAnswer]:
        """All that was requested, by the answer's key, without rows; waits until everything is looked up."""
        for lookup in self._lookups:
            with contextlib.suppress(CancelledError):  # `wait` would not see what a pool cancels that is closed
                lookup.result()
        with self._lock:
            return dict(self._pending)

    def regions_by_key(self) -> dict[str, int]:
        """The keys of the answers that were requested, each with its number of regions."""
        with self._lock:
            return dict(self._regions)

    def close(self) -> None:
        """Look up nothing more; what was sent goes on."""
        for lookup in self._lookups:
            lookup.cancel()


class ShardRun:
    """The work done ahead for one shard, from its first step to its last.

    `requests`: None where captions cost nothing, so that there is no need for haste. `surely_new`: whether no earlier
    run can have captioned the shard, so that captions may be requested as soon as `extract` has found the regions;
    else that waits for `visualize`, which runs only when the shard was not captioned with these marks.
    """

    def __init__(
        self, prerender: Prerender | None = None, requests: EarlyRequests | None = None, *, surely_new: bool = False
    ) -> None:
        self._prerender = prerender
        self._requests = requests
        self._surely_new = surely_new
        self._marks = PrerenderedMarks()
        self._extracted: dict[bytes, Future[Row]] = {}
        self._on_their_way: list[Future[None]] = []
        self.until_closed = contextlib.ExitStack()
        """What is held for the shard as long as it is worked on."""
        self.region_answers: dict[str, PendingAnswer] | None = None
        """What a model was asked about the regions of the shard's rows, by the answers' keys; None before that."""

    def extract_ahead(self, row: Row, extracting: Future[Row]) -> None:
        """Have `extract` take what `extracting` gives for this row of its input."""
        self._extracted[dumps(row)] = extracting

    def on_its_way(self, bringing: Future[None]) -> None:
        """An image is being fetched for what `extract_ahead` was given."""
        self._on_their_way.append(bringing)

    def wait_for_images(self, stop: threading.Event) -> None:
        """Return when all images are there that were on their way, or the run stops. Not for threads that draw: what is
        begun with the images needs these."""
        for bringing in self._on_their_way:
            while not (bringing.done() or stop.is_set()):
                wait([bringing], STOP_CHECK_SECONDS)

    def extracted(self, row: Row) -> Row | None:
        """The row as `extract` makes it, if that began ahead; None too for one that failed, and fails again there.

        What waits for a thread is taken back: all threads may be here, and would wait for themselves.
        """
        extracting = self._extracted.pop(dumps(row), None) if self._extracted else None
        if extracting is not None and not extracting.cancel():
            with contextlib.suppress(Exception):
                return extracting.result()
        return None

    def on_regions_found(self, row: Row, picture: Picture) -> None:
        """`extract` found the regions of a row, or it brought them, and its picture is at hand."""
        if row["type"] == WITH_BBOX and not self._surely_new:
            return  # its marks may be in the cache, and `extract` has decoded nothing
        rows = self._prerender(row, picture) if self._prerender is not None else None
        if rows is None:
            return
        self._marks.put(*rows)
        if self._surely_new:
            self.on_marks_drawn(rows[1])

    def prerendered(self, normalized: Row) -> Row | None:
        """The row as `visualize` makes it, if its marks are drawn; its captions are requested by now."""
        drawn = self._marks.get(normalized)
        if drawn is not None and not self._surely_new:
            self.on_marks_drawn(drawn)
        return drawn

    def on_marks_drawn(self, drawn: Row) -> None:
        """The marks of a row were drawn: its captions can be requested."""
        if self._requests is not None:
            self._requests.send(drawn)

    def waiting(self, rows: int) -> int:
        """Rows, of the shard's `rows`, that are to be captioned or have no answer yet; all where nothing is requested
        ahead."""
        return rows if self._requests is None else self._requests.waiting.of(rows)

    def pending(self) -> dict[str, PendingAnswer]:
        """The answers that were requested ahead, by key, without rows, for `caption` to wait for. The marks are all
        drawn by then."""
        self._marks = PrerenderedMarks()
        return {} if self._requests is None else self._requests.pending()

    def all_requested(self, others: Iterable[Future[Any]]) -> None:
        """Captions are requested of all rows now; `others`: the answers of those that were not requested ahead."""
        if self._requests is not None:
            for answer in others:
                self._requests.waiting.add(answer)
            self._requests.waiting.none_to_come()

    def regions_by_key(self) -> dict[str, int]:
        """The keys of the answers that were requested ahead, each with its number of regions."""
        return {} if self._requests is None else self._requests.regions_by_key()

    def close(self) -> None:
        """The shard is done, or stopped."""
        self.until_closed.close()
        if self._requests is not None:
            self._requests.close()


class ShardRuns:
    """The shards that this process works on, by number.

    A step task is given a `Step` and the config, nothing else, and may be a task run of its own: here it finds what
    belongs to its shard, in threads and in the processes of a cluster alike.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.opened = False
        """Whether the tasks of a shard have begun."""
        self.wait_for_others = False
        """Whether shards wait, before they are drawn, for other machines: for images, or a model's regions."""
        self._begun: dict[int, ShardRun] = {}
        self._open: dict[int, ShardRun] = {}
        self._stopped: dict[int, dict[str, int]] = {}

    def begin(self, shard: int, begin: Callable[[], ShardRun]) -> None:
        """Have the shard go on, when it is opened, with what `begin` gives, which begins its work; nothing where a
        shard is open already: its work would be done twice."""
        with self._lock:
            if not self.opened:
                self._begun[shard] = begin()

    @contextlib.contextmanager
    def open(self, shard: int, shard_run: ShardRun) -> Iterator[None]:
        """In this block `of` gives `shard_run`, or what was begun for the shard, for steps of the shard."""
        with self._lock:
            self.opened = True
            shard_run = self._begun.pop(shard, shard_run)
            self._open[shard] = shard_run
        try:
            yield
        except BaseException:
            self._stopped[shard] = shard_run.regions_by_key()
            raise
        finally:
            del self._open[shard]
            shard_run.close()
            del shard_run
            give_back_memory()

    def requested_early(self, shard: int) -> dict[str, int]:
        """The keys of the answers that were requested ahead for a shard that is open or was stopped, each with its
        number of regions."""
        shard_run = self._open.get(shard) or self._begun.get(shard)
        return shard_run.regions_by_key() if shard_run is not None else self._stopped.get(shard, {})

    def waiting(self, shard: int, rows: int) -> int:
        """Rows, of a shard's `rows`, that are to be captioned or have no answer yet; all of them where the shard is not
        open in this process."""
        shard_run = self._open.get(shard)
        return rows if shard_run is None else shard_run.waiting(rows)

    def all_requested_early(self) -> dict[int, dict[str, int]]:
        """As `requested_early`, by number of the shard."""
        return {
            shard: self.requested_early(shard)
            for shard in [*list(self._begun), *list(self._open), *list(self._stopped)]
        }

    def stopped_elsewhere(self, requested: Mapping[int, Mapping[str, int]]) -> None:
        """Another process of the run has stopped; `requested`: what it gives for `all_requested_early`."""
        for shard, keys in requested.items():
            self._stopped.setdefault(shard, {}).update(keys)

    def of(self, step: Step) -> ShardRun:
        """The one that is open for `step`'s shard; for a step that is run by itself one that does nothing ahead."""
        return self._open.get(step.shard) or ShardRun()
