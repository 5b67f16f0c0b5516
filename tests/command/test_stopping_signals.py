"""What becomes of Ctrl-C and SIGTERM in a command."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.command.stopping_signals import Terminated, stopping_signals
from regioncap.errors import PrefectLost, Stopped, UsageError
from tests.support.commands import environment


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The handlers are those of before, whatever a test does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def raise_another(number: signal.Signals, other: BaseException) -> None:
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise other from None


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
@pytest.mark.parametrize("other", [ValueError("KeyboardInterrupt: "), Stopped(), UsageError("Prefect: SchemaError")])
def test_an_interrupt_ends_the_block_whatever_is_made_of_it(
    number: signal.Signals, raised: type[BaseException], other: Exception
) -> None:
    with pytest.raises(KeyboardInterrupt) as ended, stopping_signals():
        raise_another(number, other)
    assert type(ended.value) is raised


@pytest.mark.parametrize("other", [PrefectLost(), SystemExit(3)])
def test_an_end_that_says_more_is_left(other: BaseException) -> None:
    with pytest.raises(type(other)) as ended, stopping_signals():
        raise_another(signal.SIGINT, other)
    assert ended.value is other


def test_errors_without_an_interrupt_are_their_own() -> None:
    for error in (ValueError("wrong"), Stopped()):
        with pytest.raises(type(error)) as ended, stopping_signals() as interrupts:
            raise error
        assert ended.value is error
        assert not interrupts.any_came()


def test_one_that_is_lost_is_known_of(capsys: pytest.CaptureFixture[str]) -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with stopping_signals() as interrupts:
        Finalized()
        assert interrupts.any_came()
    assert capsys.readouterr().err == ""


def test_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stopping_signals(), stopping_signals():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_is_ignored_stays_ignored() -> None:
    """As by a job that a script runs in the background: the Ctrl-C that ends the script is not for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stopping_signals() as interrupts:
        signal.raise_signal(signal.SIGINT)
    assert not interrupts.any_came()


LATE = """
import atexit, signal, sys
atexit.register(signal.raise_signal, signal.SIGINT)
from regioncap.command import main
main()
"""


AMIDST_IMPORTS = """
import importlib.abc, os, signal, sys

module = sys.argv.pop(1)

class Interrupting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Interrupting())
from regioncap.command import main
main()
"""
"""A SIGTERM as a module is imported; argv: its name, and the command's own."""


@pytest.mark.parametrize("module", ["regioncap.command.app", "regioncap.command.preview", "regioncap.preflight.plan"])
def test_a_signal_amidst_the_commands_own_imports(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", AMIDST_IMPORTS, module, "plan", "photos.jsonl", "--captioner", "pixels"]
    (tmp_path / "photos.jsonl").write_text("")
    ended = subprocess.run(
        command, env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr.strip()) == (1, "regioncap: terminated")


def test_ctrl_c_while_python_ends_is_its_end_at_once() -> None:
    command = [sys.executable, "-c", LATE, "--version"]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("regioncap, version ")
