"""Folders on disk: links are followed, loops end, and what is passed over is counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regioncap.storage.filesystem import Place
from regioncap.storage.finding import BROKEN_LINK, HIDDEN, LOOP, NOT_REGULAR, UNREADABLE, find_on_disk


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_linked_files_and_folders_are_found_by_each_path(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", "c.jpg", "sub/d.jpg")
    folder = write(tmp_path / "in", "a.jpg")
    (folder / "b.jpg").symlink_to(tmp_path / "elsewhere" / "c.jpg")
    (folder / "train").symlink_to("../elsewhere")
    (folder / "val").symlink_to(tmp_path / "elsewhere")
    found = find_on_disk(str(folder))
    assert found.names == ["a.jpg", "b.jpg", "train/c.jpg", "train/sub/d.jpg", "val/c.jpg", "val/sub/d.jpg"]
    assert not found.skipped


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real", "sub/a.jpg")
    (tmp_path / "link").symlink_to("real")
    assert find_on_disk(str(tmp_path / "link")).names == ["sub/a.jpg"]


def test_loops_end(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", "a.jpg", "sub/b.jpg")
    (folder / "self").symlink_to(".")
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "root").symlink_to("/")
    found = find_on_disk(str(folder))
    assert (found.names, dict(found.skipped)) == (["a.jpg", "sub/b.jpg"], {LOOP: 3})


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    names = [f"f{number}" for number in range(6)]
    for name in names:
        write(tmp_path, f"{name}/{name}.jpg")
        for other in names:
            (tmp_path / name / other).symlink_to(f"../{other}")
    found = find_on_disk(str(tmp_path))
    assert set(found.names) > {f"{name}/{name}.jpg" for name in names}
    assert len(found.names) == len(set(found.names)) < 5000


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    folder = write(tmp_path, "a.jpg", ".DS_Store", "__MACOSX/._a.jpg", ".git/objects/x", "_SUCCESS", "_DSC1.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / ".hidden link").symlink_to(".git")
    os.mkfifo(folder / "pipe.jpg")
    found = find_on_disk(str(folder))
    assert found.names == ["_DSC1.jpg", "a.jpg"]
    assert dict(found.skipped) == {HIDDEN: 5, BROKEN_LINK: 1, NOT_REGULAR: 1}
    assert Place(f"{folder}/*.jpg").find().names == ["_DSC1.jpg", "a.jpg"]


def test_a_folder_that_may_not_be_read_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.jpg", "private/b.jpg")
    scandir = os.scandir  # who is root may read every folder

    def refused(path: str) -> object:
        if path.endswith("private"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = find_on_disk(str(tmp_path))
    assert (found.names, dict(found.skipped)) == (["a.jpg"], {UNREADABLE: 1})
