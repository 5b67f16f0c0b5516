"""What all the tasks of one process share: files, threads, the captioner, the stop flag and the counts.

Tasks get the config, which travels between processes, and find the rest here, which does not.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import cached_property

from regioncap.captioners.base import Captioner, Setting
from regioncap.config.model import RegionCapConfig
from regioncap.errors import Stopped
from regioncap.inputs.readers import Part as InputPart
from regioncap.inputs.readers import find_parts, input_root, region_fields_of, shards_of
from regioncap.records import Row, Shard, Step
from regioncap.registry import make_captioner
from regioncap.run.credentials import api_key, filesystems_of
from regioncap.run.in_flight import InFlight
from regioncap.run.marks import DrawnAhead, MarkedPictures
from regioncap.run.plain_errors import plain_errors
from regioncap.run.progress import OutputPart, Progress
from regioncap.storage.answers import Answers
from regioncap.storage.images import ImageFiles
from regioncap.storage.steps import STEP_NAMES, StepStorage
from regioncap.vision.libraries import image_libraries

IO_THREADS = 32
"""Requests to object stores at once."""


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
        self.parts: dict[str, OutputPart] = {}
        """Parts of the output that this run wrote, by name."""
        self._until_closed = contextlib.ExitStack()
        for change in (image_libraries, plain_errors):
            self._until_closed.enter_context(change)

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
        self._until_closed.close()


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
