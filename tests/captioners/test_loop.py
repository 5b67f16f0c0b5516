"""The event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from regioncap.captioners.loop import LoopThread
from regioncap.errors import Stopped


class Closing:
    """Counts how often a loop said that it is over."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def closing() -> Closing:
    return Closing()


@pytest.fixture
def loop(closing: Closing) -> Iterator[LoopThread]:
    made = LoopThread("a-loop", 2, closing)
    yield made
    made.close()


def thread_names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


async def thread_name() -> str:
    return threading.current_thread().name


async def forever() -> None:
    await asyncio.Event().wait()


def test_the_thread_starts_with_the_first_coroutine(loop: LoopThread) -> None:
    loop.call_soon(pytest.fail, "nothing runs yet")
    assert "a-loop" not in thread_names()
    assert loop.submit(thread_name).result(timeout=60) == "a-loop"


def test_an_error_reaches_the_future(loop: LoopThread) -> None:
    async def fail(text: str) -> None:
        raise ValueError(text)

    with pytest.raises(ValueError, match="as it might"):
        loop.submit(fail, "as it might").result(timeout=60)


def test_the_thread_keeps_no_process_alive() -> None:
    code = (
        "import asyncio\nfrom regioncap.captioners.loop import LoopThread\n"
        "async def over(): print('over', flush=True)\n"
        "loop = LoopThread('x', 1, over)\n"
        "loop.submit(asyncio.sleep, 600)\nprint('end', flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\nover\n", "")


STARTED_AMIDST = """
import asyncio, signal, threading
from anyio import from_thread
from regioncap.captioners.loop import LoopThread

portal = from_thread.BlockingPortal

def interrupting():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    return portal()

from_thread.BlockingPortal = interrupting
async def over(): print("over", flush=True)
loop = LoopThread("x", 1, over)
try:
    loop.submit(asyncio.sleep, 600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupt_while_it_starts_leaves_nobody_waiting() -> None:
    command = [sys.executable, "-c", STARTED_AMIDST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\nover\n", "")


def test_closing_cancels_what_runs_and_says_so(loop: LoopThread, closing: Closing) -> None:
    spawned: list[asyncio.Task[None]] = []

    async def both() -> None:
        spawned.append(loop.spawn(forever()))
        await forever()

    waiting = loop.submit(both)
    loop.submit(thread_name).result(timeout=60)
    loop.close()
    assert isinstance(waiting.exception(timeout=60), Stopped)
    assert spawned[0].cancelled()
    assert closing.times == 1
    assert "a-loop" not in thread_names()


def test_closed_it_takes_nothing_more(loop: LoopThread, closing: Closing) -> None:
    loop.submit(thread_name).result(timeout=60)
    loop.close()
    loop.close()
    loop.call_soon(pytest.fail, "it is closed")
    assert isinstance(loop.submit(forever).exception(timeout=60), Stopped)
    assert closing.times == 1


def test_closed_before_it_ran_there_is_nothing_to_end(loop: LoopThread, closing: Closing) -> None:
    loop.close()
    assert isinstance(loop.submit(forever).exception(timeout=60), Stopped)
    assert closing.times == 0
