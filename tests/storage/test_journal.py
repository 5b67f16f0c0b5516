"""Replies on disk before anything else is done with them: what a killed process leaves is found, and nothing else."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regioncap.storage import journal, kernel_lock
from regioncap.storage.filesystem import Place
from regioncap.storage.journal import DeadJournal, Entry, Journal, dead_journals, journal_folder
from tests.support.commands import ROOT

ENTRY = Entry("0a" * 16, (1, 2), "m", 1, {"text": "<region1>: Ä dog\n", "finish": "stop"}, 100, 10)


def entry(number: int) -> Entry:
    return replace(ENTRY, key=f"{number:032x}")


WRITE = """
import os, signal, sys
from pathlib import Path
from regioncap.storage.journal import Journal
from tests.storage.test_journal import entry
journal = Journal(Path(sys.argv[1]))
for number in range(3):
    journal.append(entry(number))
journal.stored(entry(1).key, [entry(1).reply])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The folder with the journal of a killed process."""
    done = subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / "journal")], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    return tmp_path / "journal"


def left_in(folder: Path) -> list[DeadJournal]:
    with dead_journals(folder) as found:
        return found


def test_what_a_killed_process_wrote_is_there_once(killed: Path) -> None:
    (found,) = left_in(killed)
    assert (found.entries, found.damaged) == ([entry(0), entry(1), entry(2)], 0)
    assert list(killed.iterdir()) == []
    assert left_in(killed) == []


def test_it_stays_until_all_is_stored(killed: Path) -> None:
    with pytest.raises(ZeroDivisionError), dead_journals(killed):
        raise ZeroDivisionError
    assert len(left_in(killed)) == 1


def test_a_line_that_was_cut_off_is_no_damage_and_others_are(killed: Path) -> None:
    (file,) = killed.iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    wrong = [lines[1].replace(b"dog", b"cat"), b"no entry\n", b"\n", lines[0][9:], b"\xff" * 20 + b"\n"]
    file.write_bytes(b"".join([*wrong, lines[0], lines[2][:-9]]))
    (found,) = left_in(killed)
    assert (found.entries, found.damaged) == ([entry(0)], len(wrong))


def test_an_entry_of_another_form_is_damage(killed: Path) -> None:
    (file,) = killed.iterdir()
    others: list[dict[str, Any]] = [{"key": "../../elsewhere"}, {"order": None}, {"prompt_tokens": []}, {"wanted": 1}]
    file.write_bytes(b"".join(replace(ENTRY, **other).line() for other in others) + ENTRY.line())
    (found,) = left_in(killed)
    assert (found.entries, found.damaged) == ([ENTRY], len(others))


def test_one_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    with closing(Journal(tmp_path)) as live:
        live.append(ENTRY)
        assert left_in(tmp_path) == []
        live.append(ENTRY)
        (file,) = tmp_path.glob("*.journal")
        assert file.read_bytes() == 2 * ENTRY.line()
    assert [one.entries for one in left_in(tmp_path)] == [[ENTRY, ENTRY]]


def test_nothing_stays_of_a_run_whose_answers_are_stored(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "never")):
        pass
    with closing(Journal(tmp_path)) as live:
        live.append(ENTRY)
        live.append(replace(ENTRY, reply={"text": "other"}))
        live.stored(ENTRY.key, [{"text": "other"}, ENTRY.reply])
    assert list(tmp_path.iterdir()) == []


def test_it_does_not_grow_and_never_lacks_what_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_GROWTH_BYTES", 1_000)
    with closing(Journal(tmp_path)) as live:
        live.append(ENTRY)
        for number in range(100):
            live.append(entry(number))
            live.stored(entry(number).key, [entry(number).reply])
            (file,) = tmp_path.glob("*.journal")
            assert ENTRY.line() in file.read_bytes()
            assert file.stat().st_size < 1_000 + 3 * len(ENTRY.line())


def test_who_recovers_second_waits_and_finds_nothing(killed: Path) -> None:
    found: list[list[DeadJournal]] = []
    with dead_journals(killed) as first:
        second = threading.Thread(target=lambda: found.append(left_in(killed)))
        second.start()
        assert len(first) == 1
    second.join()
    assert found == [[]]


@pytest.mark.parametrize("trouble", ["full", "no locks", "no folder"])
def test_where_none_can_be_written_it_is_said_once(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    if trouble == "full":
        monkeypatch.setattr(os, "write", full)
    elif trouble == "no locks":
        monkeypatch.setattr(kernel_lock, "fcntl", None)
    else:
        (tmp_path / "journal").touch()
    with closing(Journal(tmp_path / "journal")) as live:
        live.append(ENTRY)
        live.append(ENTRY)
    (line,) = caplog.messages
    assert "no journal can be written" in line
    assert "if this run is killed, the last replies may be requested again" in line


def test_the_journals_of_a_cache_elsewhere_lie_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert journal_folder(Place(f"{tmp_path}/cache")) == tmp_path / "cache" / "journal"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = {journal_folder(Place(url)) for url in ("memory://a/cache", "memory://a/cache/", "memory://b/cache")}
    assert len(folders) == 2
    assert all(folder is not None and folder.parent == tmp_path / "regioncap" / "journal" for folder in folders)


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o700, 0o600), (0o775, 0o664), (0o1777, 0o666)])
def test_who_may_not_write_in_its_folder_may_not_write_in_it(folder_mode: int, file_mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    folder.chmod(folder_mode)
    with closing(Journal(folder)) as made:
        made.append(ENTRY)
        (file,) = folder.iterdir()
        assert file.stat().st_mode & 0o777 == file_mode
