"""What all the tasks of one process share: files, threads, the captioner, the stop flag and the counts.

Tasks get the config, which travels between processes, and find the rest here, which does not.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import threading
import time
import uuid
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from functools import cached_property

from regioncap.captioners.base import Captioner, CaptionResult, Setting
from regioncap.config.model import RegionCapConfig
from regioncap.errors import Stopped
from regioncap.inputs.readers import Part as InputPart
from regioncap.inputs.readers import find_parts, input_root, region_fields_of, shards_of
from regioncap.output.outputs import Part
from regioncap.output.summary import Bill
from regioncap.records import Row, Shard, Step
from regioncap.registry import make_captioner
from regioncap.run.credentials import api_key, filesystems_of
from regioncap.storage.answers import Answers
from regioncap.storage.filesystem import Place
from regioncap.storage.images import ImageFiles
from regioncap.storage.steps import STEP_NAMES, StepStorage

IO_THREADS = 32
"""Requests to object stores at once."""

FINISH = "finish_"
"""Counts with this prefix are ends of answers: `finish_stop`, `finish_length`."""


class Progress:
    """Counts of a run, added to from many threads: `rows` and `rejects` that are done, and the fields of `Bill`."""

    def __init__(self, prices: tuple[float, float] | None = None) -> None:
        self._prices = prices
        """US dollars for a million tokens of prompts, and of answers."""
        self._lock = threading.Lock()
        self._begun = time.perf_counter()
        self.started_at = _now()
        self.counts: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.rows_read = 0
        """Rows of the shards that were taken up."""
        self.share_read = 0.0
        """Share of the input, 0..1, that those shards make up."""

    def read(self, rows: int, share: float) -> None:
        """A shard was taken up."""
        with self._lock:
            self.rows_read += rows
            self.share_read = min(1.0, self.share_read + share)

    def add(self, **numbers: int) -> None:
        """Add to counts by name: `rows`, `rejects`, `captions_asked`, …"""
        with self._lock:
            self.counts.update(numbers)

    def spent(self, step: str, seconds: float) -> None:
        """Add wall seconds that a step's body took."""
        with self._lock:
            self.seconds[step] += seconds

    def spent_on(self) -> tuple[dict[str, int], dict[str, float]]:
        """(counts by name, wall seconds by step) up to now, for another process to add to its own."""
        with self._lock:
            return dict(self.counts), dict(self.seconds)

    def rows_expected(self) -> int:
        """How many rows the input seems to have, from what was read of it."""
        return round(self.rows_read / self.share_read) if self.share_read else 0

    def bill(self) -> Bill:
        """What the run has asked for and spent up to now."""
        with self._lock:
            counts = {name: self.counts[name] for name in Bill.model_fields if name in self.counts}
            ends = {name.removeprefix(FINISH): n for name, n in sorted(self.counts.items()) if name.startswith(FINISH)}
            seconds = {name: round(spent, 3) for name, spent in self.seconds.items()}
        wall = round(time.perf_counter() - self._begun, 3)
        bill = Bill(
            **counts,
            finish_reasons=ends,
            step_seconds=seconds,
            wall_seconds=wall,
            started_at=self.started_at,
            finished_at=_now(),
        )
        if self._prices is not None:
            bill.usd = round((bill.prompt_tokens * self._prices[0] + bill.completion_tokens * self._prices[1]) / 1e6, 6)
        return bill


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


class MarkedPictures:
    """The marked pictures (JPEG) of a run: kept in the cache, or only held for the model to see.

    At most `most_bytes` are held in memory, where the cache is no disk as well; one that is gone is drawn again by the
    caller.
    """

    def __init__(self, folder: Place, keep: bool, most_bytes: int = 128_000_000) -> None:
        self.folder = folder
        self._keep = keep
        self._most_bytes = most_bytes
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def place(self, sha256: str) -> Place:
        """Where the picture with this sha256 is kept."""
        return self.folder.child(sha256[:2], f"{sha256}.jpg")

    def put(self, sha256: str, jpeg: bytes) -> None:
        """Keep, or hold, a picture that has just been drawn."""
        if self._keep:
            place = self.place(sha256)
            if not place.is_local or place.size() != len(jpeg):
                place.write(jpeg, durable=False)
            if place.is_local:
                return
        with self._lock:
            self._bytes += len(jpeg) - len(self._held.pop(sha256, b""))
            self._held[sha256] = jpeg
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._held.popitem(last=False)[1])

    def get(self, sha256: str) -> bytes | None:
        """The picture's bytes, or None when it must be drawn again."""
        with self._lock:
            held = self._held.get(sha256)
        if held is not None:
            return held
        try:
            jpeg = self.place(sha256).read()
        except FileNotFoundError:
            return None
        return jpeg if hashlib.sha256(jpeg).hexdigest() == sha256 else None


class DrawnAhead:
    """What `visualize` will add to rows whose marks were drawn when their regions were found, shard by shard."""

    def __init__(self) -> None:
        self._drawn: dict[str, Row] = {}

    def put(self, row: Row, added: Row) -> None:
        """Keep what was added to a normalised row. From any thread."""
        self._drawn[self._key(row)] = added

    def get(self, row: Row) -> Row | None:
        """What was added to such a row, if it was drawn."""
        return self._drawn.get(self._key(row)) if self._drawn else None

    def clear(self) -> None:
        """The shard is drawn."""
        self._drawn.clear()

    @staticmethod
    def _key(row: Row) -> str:
        return f"{row['image_sha256']} {row['bbox']}"


class InFlight:
    """The answers that are being asked for, by key: rows that want the same share it, so it is asked for once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[str, Future[CaptionResult]] = {}

    def claim(self, key: str) -> tuple[Future[CaptionResult], bool]:
        """The future of the answer `key`, and whether the caller is to fulfil it with `settle`."""
        with self._lock:
            if key in self._futures:
                return self._futures[key], False
            future: Future[CaptionResult] = Future()
            self._futures[key] = future
            return future, True

    def settle(self, key: str, result: CaptionResult | BaseException) -> None:
        """The answer came, and is kept: whoever wants it next finds it there."""
        with self._lock:
            future = self._futures.pop(key)
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


class RunContext:
    """Everything that the tasks of a process need for one config; see `context_of`."""

    def __init__(self, config: RegionCapConfig) -> None:
        self.config = config
        self.files = filesystems_of(config)
        self.storage = StepStorage(config.cache_path, config.file_name_prefix, files=self.files)
        self.cache = self.files.place(config.cache_path)
        self.output = self.files.place(config.output)
        self.images = ImageFiles(config.image_root or input_root(config, self.files), self.files)
        self.marks = MarkedPictures(self.cache.child("marks"), keep=config.draw_visualization)
        self.ahead = DrawnAhead()
        self.answers = Answers(self.cache.child("captions"))
        self.progress = Progress(config.prices)
        self.stop = threading.Event()
        self.pixels = threading.Semaphore(1)
        """Held while a shard's pixels are worked on: one shard at a time, all threads on it, so that the shards
        before it can be captioned meanwhile instead of all moving in lockstep."""
        self.pool = ThreadPoolExecutor(config.threads or os.cpu_count() or 1, thread_name_prefix="pixels")
        """Threads for decoding, finding, drawing; OpenCV and Pillow let go of the interpreter meanwhile."""
        self.io_pool = ThreadPoolExecutor(IO_THREADS, thread_name_prefix="io")
        """Threads for what lies beyond a network; on disk a look is cheaper than handing it over."""
        self._captioner_lock = threading.Lock()
        self._captioner: Captioner | None = None
        self._closed = False
        self.in_flight = InFlight()
        self.found_done: dict[str, tuple[Step, ...]] = {}
        """The steps of shards that were looked at and found done, by the key of their input."""
        self.when_drawn: Callable[[Row], None] = lambda row: None
        """Told of every row whose marks were just drawn, long before its shard's file is whole."""
        self._input: list[InputPart] | None = None
        self.parts: dict[str, Part] = {}
        """Parts of the output that this run wrote, by name."""

    def shards(self) -> Generator[Shard]:
        """The input's shards, from the first on; its files are looked for once. Raises what `read_shards` raises."""
        if self._input is None:
            self._input = find_parts(self.config, self.files)
        return shards_of(self._input, self.config)

    @property
    def captioner(self) -> Captioner:
        """The one captioner of this process, made when first needed. Raises Stopped once the context is closed."""
        with self._captioner_lock:
            if self._captioner is None:
                if self._closed:
                    raise Stopped
                self._captioner = self._make_captioner()
            return self._captioner

    def _make_captioner(self) -> Captioner:
        return make_captioner(Setting(self.config, lambda: api_key(self.config), self.progress.add))

    @cached_property
    def captioned_before(self) -> bool:
        """Whether shards of this cache were captioned by an earlier run. To be asked before the first one is."""
        return self.storage.at(STEP_NAMES.index("caption")).folder.is_folder()

    def halt(self) -> None:
        """Begin nothing more and ask for nothing more; what is under way is not waited for."""
        self.stop.set()
        with self._captioner_lock:
            captioner = self._captioner
        if captioner is not None:
            captioner.stop_asking()

    def drain_captioner(self) -> None:
        """Have nothing more asked for; returns when what was is there. Then all rows that wait are told to stop."""
        with self._captioner_lock:
            captioner = self._captioner
        if captioner is not None:
            captioner.drain()

    def end_captioner(self) -> None:
        """End the captioner: all captions are there. It is made anew should another be needed."""
        with self._captioner_lock:
            if self._captioner is not None:
                self._captioner.close()
            self._captioner = None

    def close(self) -> None:
        """End the threads and the captioner. Work in flight is told to stop."""
        self.stop.set()
        with self._captioner_lock:
            self._closed = True
        self.end_captioner()
        for pool in (self.pool, self.io_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        self.images.close()


def completed(config: RegionCapConfig) -> RegionCapConfig:
    """`config` with the region fields that its input brings by its form. Raises UsageError for a wrong input."""
    fields = region_fields_of(config, filesystems_of(config))
    return config if fields == config.region_fields else config.model_copy(update={"region_fields": fields})


_contexts: dict[str, RunContext] = {}
_lock = threading.Lock()
_run: ContextVar[str] = ContextVar("run", default="")
_ended: set[str] = set()


@contextlib.contextmanager
def in_run(name: str = "") -> Iterator[None]:
    """In this block `context_of` gives the contexts of the run `name`: what one run of a process counts or stops is
    not another's, and once it has ended (`end_run`) its threads find no context again.

    Without a name: of the run that the caller is in already, else of a new one.
    """
    name = name or _run.get() or uuid.uuid4().hex
    token = _run.set(name)
    try:
        yield
    finally:
        _run.reset(token)


def _key(config: RegionCapConfig) -> str:
    return _run.get() + config.model_dump_json()


def context_of(config: RegionCapConfig) -> RunContext:
    """The process's context for `config`: the same for every task of a run. Raises Stopped in a run that has ended."""
    key = _key(config)
    with _lock:
        if _run.get() in _ended:
            raise Stopped
        if key not in _contexts:
            _contexts[key] = RunContext(config)
        return _contexts[key]


def known_context(config: RegionCapConfig) -> RunContext | None:
    """What `context_of(config)` gave before; None when it was not asked for, or is closed."""
    with _lock:
        return _contexts.get(_key(config))


def end_run(config: RegionCapConfig) -> None:
    """End what `context_of(config)` holds, for good: what is still under way in this run finds no context again."""
    with _lock:
        _ended.add(_run.get())
        context = _contexts.pop(_key(config), None)
    if context is not None:
        context.close()
