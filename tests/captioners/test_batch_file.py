"""Files of requests: as large as the provider takes, and gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap.captioners.batch_file import RequestFile, request_line
from regioncap.errors import StorageError
from regioncap.records import loads

LINES = [b"0123456789\n", b"abcdefghij\n"]


def test_a_line_is_as_providers_take_it() -> None:
    line = request_line("row-1", {"model": "m"})
    assert line.endswith(b"\n")
    assert loads(line) == {
        "custom_id": "row-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("max_requests", "max_bytes", "taken"), [(4, 44, True), (3, 44, False), (4, 43, False), (100, 1000, True)]
)
def test_it_takes_whole_rows_within_both_limits(tmp_path: Path, max_requests: int, max_bytes: int, taken: bool) -> None:
    file = RequestFile(tmp_path, "a", max_requests=max_requests, max_bytes=max_bytes)
    file.add(LINES, [b"asked\n"])
    assert file.takes(LINES) is taken
    file.remove()


def test_what_was_added_is_there_when_it_is_finished_and_gone_when_it_is_removed(tmp_path: Path) -> None:
    file = RequestFile(tmp_path, "a", max_requests=9, max_bytes=99)
    file.add(LINES, [b"asked\n"])
    file.finish()
    assert (file.requests, file.bytes) == (2, 22)
    assert file.path.read_bytes() == b"".join(LINES)
    assert file.asked_path.read_bytes() == b"asked\n"
    file.remove()
    file.remove()  # once more is no error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to("/dev/full")
    file = RequestFile(tmp_path, "a", max_requests=9, max_bytes=10**9)
    with pytest.raises(StorageError, match="No space left on device"):
        file.add([b"x" * 10_000] * 1000, [])
    file.remove()
