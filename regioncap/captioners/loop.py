"""An event loop on a thread of its own, for code that is not asynchronous."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from regioncap.errors import Stopped

T = TypeVar("T")


class LoopThread:
    """Runs coroutines on one event loop in a daemon thread, which starts with the first of them.

    `executor_threads`: of the loop's default executor. `on_close`: awaited on the loop when all coroutines have ended.
    """

    def __init__(self, name: str, executor_threads: int, on_close: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._executor_threads = executor_threads
        self._on_close = [on_close]
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._running = contextlib.ExitStack()
        self._portal: BlockingPortal | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.closed = False

    # --- from any thread

    def also_on_close(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have `callback` awaited on the loop, too, when all coroutines have ended."""
        self._on_close.append(callback)

    def submit(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> Future[T]:
        """Run `function(*args)` on the loop. The future raises Stopped when the loop is closed before it is done."""
        with self._lock:
            if self.closed:
                refused: Future[T] = Future()
                refused.set_exception(Stopped())
                return refused
            if self._portal is None:
                self._start()
            # Not by the portal, which has the caller wait for a turn of the loop: milliseconds while it is busy.
            return asyncio.run_coroutine_threadsafe(self._run(function(*args)), self._loop)

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Call `function(*args)` on the loop; nothing happens when it is not running."""
        with self._lock:
            if self._portal is not None and not self.closed:
                self._loop.call_soon_threadsafe(function, *args)

    def close(self) -> None:
        """Cancel what runs and end the thread; returns when that is done. May be called twice."""
        with self._closing:
            with self._lock:
                self.closed = True
                portal, self._portal = self._portal, None
            if portal is not None:
                atexit.unregister(self.close)
                try:
                    portal.call(self._wind_down)
                finally:
                    self._running.close()

    def _start(self) -> None:
        # An interrupt that reached this thread while it waits would have anyio join a portal that nobody stops.
        with ThreadPoolExecutor(1, thread_name_prefix=f"{self._name}-start") as starter:
            starter.submit(self._open).result()

    def _open(self) -> None:
        self._portal = self._running.enter_context(start_blocking_portal("asyncio"))
        self._loop = self._portal.call(self._set_up)
        # A portal that the interpreter's end collects would wait for a thread that does not run any more.
        atexit.register(self.close)

    # --- on the loop

    async def _set_up(self) -> asyncio.AbstractEventLoop:
        threading.current_thread().name = self._name
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(self._executor_threads, thread_name_prefix=f"{self._name}-io"))
        return loop

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` beside what runs; cancelled by `close`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work
        except asyncio.CancelledError:
            raise Stopped from None
        finally:
            self._tasks.discard(task)

    async def _wind_down(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for callback in self._on_close:
            await callback()
