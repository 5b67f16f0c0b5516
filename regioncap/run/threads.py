"""The threads that the shards of one process share."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from regioncap.errors import Stopped

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

STOP_CHECK_SECONDS = 0.25
"""How long at most until what waits for a future notices that the run is over."""

IO_THREADS = 32
"""Requests to object stores at once."""


def cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ContextThreads(ThreadPoolExecutor):
    """Threads that work in the context of whoever hands them work: so they know which run they log for."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """As of any executor."""
        context = copy_context()
        return super().submit(lambda: context.run(fn, *args, **kwargs))


def map_ahead(
    pool: Executor,
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    at_once: int,
    bytes_of: Callable[[T], int] = lambda item: 0,
    max_bytes: int = 0,
) -> Iterator[tuple[T, R]]:
    """(item, `function(item)`) of each item, in order, with at most `at_once` under way, or done and not taken yet.

    `bytes_of`: what an item holds; with more than `max_bytes` in all, no further item is taken up meanwhile.
    """
    pending: deque[tuple[T, Future[R]]] = deque()
    held = 0
    for item in items:
        pending.append((item, pool.submit(function, item)))
        held += bytes_of(item)
        while pending and (len(pending) >= at_once or held > max_bytes):
            first, result = pending.popleft()
            held -= bytes_of(first)
            yield first, result.result()
    for item, result in pending:
        yield item, result.result()


def result_of(future: Future[R], stop: threading.Event | None) -> R:
    """What a future gives; waits for it, but not beyond the end of the run. Raises what it raises, and Stopped once
    `stop` is set."""
    while not (future.done() or wait([future], STOP_CHECK_SECONDS).done):
        if stop is not None and stop.is_set():
            raise Stopped
    return future.result()


class RunThreads:
    """Threads for pixels and for the network. `pixel_threads`: how many decode and draw; None: one a processor."""

    def __init__(self, pixel_threads: int | None = None) -> None:
        self.pixels = ContextThreads(pixel_threads or cpus(), thread_name_prefix="pixels")
        """For decoding, finding, drawing: OpenCV and Pillow release the interpreter meanwhile."""
        self.io = ContextThreads(IO_THREADS, thread_name_prefix="io")
        """For what is beyond a network; reading from a disk is cheaper than handing it over."""
        self.fetch = ContextThreads(IO_THREADS, thread_name_prefix="fetch")
        """For the images of a whole shard: behind hundreds of them, in the threads before, each row that is drawn would
        wait to be looked up and stored."""
        self.extract_turn = threading.Semaphore(1)
        """Held while a shard's regions are found: one shard at a time, on all threads, so that the shards before it are
        captioned meanwhile, instead of all moving in lockstep."""
        self.draw_turn = threading.Semaphore(1)
        """Held while a shard's marks are drawn. Apart from `extract_turn`: what one thread alone does between the two,
        and when it stores a step, leaves the processors to another shard."""

    def close(self) -> None:
        """Start nothing more; what runs is not waited for."""
        for pool in (self.pixels, self.io, self.fetch):
            pool.shutdown(wait=False, cancel_futures=True)
