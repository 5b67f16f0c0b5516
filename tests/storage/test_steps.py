"""Step files: named by what they were made of, found again only when they are whole."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regioncap.records import Row, Step, rejected
from regioncap.storage import s3_pages
from regioncap.storage.filesystem import Place
from regioncap.storage.runs import RegisterEntry, entry_place, read_entry, register_end, register_start, registered
from regioncap.storage.step_files import StepFiles
from regioncap.storage.steps import StepDamaged, StepStorage, digest, key_parts

ROWS: list[Row] = [{"image": "a.png"}, rejected("load", "bad_json", "no")]


def parts_of(**changes: Any) -> dict[str, Any]:
    values = {"step": "load", "step_version": "1", "fields": {"a": 1, "b": 2}, "input_sha256": "abc"}
    return key_parts(**{**values, **changes})


@pytest.fixture
def storage(tmp_path: Path) -> StepStorage:
    """The storage as step 1 sees it."""
    return StepStorage(str(tmp_path / "cache"), "test").at(1)


def test_steps_are_numbered_from_the_input() -> None:
    storage = StepStorage("cache", "p")
    assert [storage.folder_name, storage.at(2).folder_name] == ["p_step0", "p_step2"]


def test_what_a_step_wrote_is_found_and_read(storage: StepStorage) -> None:
    written = storage.write(parts_of(), ROWS, 0.5)
    assert storage.find(digest(parts_of())) == written
    assert (written.rows, written.rejects, written.retryable) == (2, 1, 0)
    assert storage.read(written.reference(7)) == ROWS
    assert written.reference(7) == Step(1, 7, written.key, written.sha256, 2, 1)


KEY = "0" * 32

CHANGES = {"step": "route", "step_version": "2", "fields": {"a": 1, "b": 3}, "input_sha256": "abd"}


@pytest.mark.parametrize("name", CHANGES)
def test_every_part_changes_the_key(name: str) -> None:
    assert digest(parts_of(**{name: CHANGES[name]})) != digest(parts_of())


def test_the_order_of_fields_does_not() -> None:
    assert digest(parts_of(fields={"b": 2, "a": 1})) == digest(parts_of())


def test_rows_that_may_succeed_later_are_not_done(storage: StepStorage) -> None:
    storage.write(parts_of(), [rejected("load", "internal_error", "a bug")], 0.0)
    assert storage.find(digest(parts_of())) is None
    manifest = storage.manifest(digest(parts_of()))
    assert manifest is not None
    assert manifest.retryable == 1


@pytest.mark.parametrize("harm", ["cut", "gone", "no manifest", "other schema"])
def test_what_is_not_whole_is_not_found(storage: StepStorage, tmp_path: Path, harm: str) -> None:
    written = storage.write(parts_of(), ROWS, 0.0)
    folder = tmp_path / "cache" / "test_step1"
    data, manifest = folder / written.data, folder / f"{written.key}.json"
    match harm:
        case "cut":
            data.write_bytes(data.read_bytes()[:-1])
        case "gone":
            data.unlink()
        case "no manifest":
            manifest.unlink()
        case "other schema":
            manifest.write_bytes(manifest.read_bytes().replace(b'"schema":1', b'"schema":99'))
    assert storage.find(written.key) is None


def test_damage_is_noticed_on_reading_and_forgotten(storage: StepStorage, tmp_path: Path) -> None:
    written = storage.write(parts_of(), ROWS, 0.0)
    data = tmp_path / "cache" / "test_step1" / written.data
    data.write_bytes(data.read_bytes()[::-1])
    assert storage.find(written.key) == written  # the size is right
    with pytest.raises(StepDamaged, match=written.data):
        storage.read(written.reference(0))
    assert storage.find(written.key) is None
    assert not data.exists()


def test_a_cache_that_was_moved_is_used_where_it_is(storage: StepStorage, tmp_path: Path) -> None:
    written = storage.write(parts_of(), ROWS, 0.0)
    shutil.move(tmp_path / "cache", tmp_path / "new")
    assert StepStorage(str(tmp_path / "new"), "test").at(1).find(written.key) == written


def test_the_input_is_kept_as_step_0(storage: StepStorage) -> None:
    step = storage.put_input(b"photos\n1\t{}\n", 3, 1)
    assert (step.index, step.shard, step.rows) == (0, 3, 1)
    assert storage.read_bytes(step) == b"photos\n1\t{}\n"


def test_a_run_is_registered_by_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = entry_place(Place(str(tmp_path)), "test", "out.jsonl")
    assert entry == entry_place(Place(str(tmp_path)), "test", str(Path("out.jsonl").resolve()))
    assert registered(entry) == RegisterEntry()
    register_start(entry, "out.jsonl", {"seed": 1})
    assert registered(entry) == RegisterEntry("out.jsonl", {"seed": 1}, finished=False, folder=str(tmp_path))
    register_end(entry, "out.jsonl", {"seed": 1}, [["k0", "k1"]])
    finished = RegisterEntry("out.jsonl", {"seed": 1}, [["k0", "k1"]], True, {"seed": 1}, str(tmp_path))
    assert registered(entry) == finished
    register_start(entry, "out.jsonl", {"seed": 2})
    assert registered(entry) == replace(finished, config={"seed": 2}, finished=False)


def test_an_entry_of_an_earlier_version_does_not_tell_whether_its_run_finished(tmp_path: Path) -> None:
    entry = entry_place(Place(str(tmp_path)), "test", "out.jsonl")
    entry.write(b'{"schema":1,"output":"out.jsonl","config":{"seed":1},"shards":[["k0"]]}')
    assert registered(entry) == RegisterEntry("out.jsonl", {"seed": 1}, [["k0"]], finished_config={"seed": 1})


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"3", b'{"output":"a","config":{},"shards":3}'])
def test_a_damaged_entry_is_told_from_a_missing_one(tmp_path: Path, text: bytes) -> None:
    entry = entry_place(Place(str(tmp_path)), "test", "out.jsonl")
    with pytest.raises(FileNotFoundError):
        read_entry(entry)
    entry.write(text)
    assert registered(entry) == RegisterEntry()
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the codec's
        read_entry(entry)


@pytest.mark.parametrize("error", [PermissionError("Access Denied"), FileNotFoundError("NoSuchKey")])
def test_where_nothing_can_be_listed_each_file_is_looked_up(
    bucket: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*args: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr("regioncap.storage.step_files.list_page", refuse)
    folder = Place(f"{bucket}/cache/test_step1")
    assert not StepFiles().has(folder, KEY, f"{KEY}-0a1b2c3d.jsonl", 3)
    folder.child(f"{KEY}-0a1b2c3d.jsonl").write(b"abc")
    assert StepFiles().has(folder, KEY, f"{KEY}-0a1b2c3d.jsonl", 3)


def test_files_of_many_keys_take_few_listings(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = Place(f"{bucket}/cache/test_step1"), []
    keys = [hashlib.md5(bytes([number]), usedforsecurity=False).hexdigest() for number in range(9)]
    for key in keys:
        folder.child(f"{key}-0a1b2c3d.jsonl").write(b"abc")
        folder.child(f"{key}.json").write(b"{}")
    real = s3_pages.list_page

    def in_small_pages(*args: Any, **more: Any) -> s3_pages.S3Page:
        asked.append(more["after"])
        page = real(*args, **more)
        return s3_pages.S3Page(page.objects[:5], "more" if len(page.objects) > 5 else "")

    monkeypatch.setattr("regioncap.storage.step_files.list_page", in_small_pages)
    files = StepFiles()
    for _ in range(2):
        for key in keys:
            assert files.of_key(folder, key) == {f"{key}-0a1b2c3d.jsonl": 3, f"{key}.json": 2}
    assert files.of_key(folder, "0" * 32) == {}
    assert asked[0] == ""
    assert len(asked) <= len(keys) + 1
