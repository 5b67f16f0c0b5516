"""Brace notation, and the files that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.inputs.braces import expand, first_brace
from regioncap.inputs.found_files import find_files
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Place

EXPANDED = {
    "{000..002}.tar": ["000.tar", "001.tar", "002.tar"],
    "{9..11}": ["9", "10", "11"],
    "{11..9}": ["11", "10", "9"],
    "{-1..1}": ["-1", "0", "1"],
    "{0..6..3}": ["0", "3", "6"],
    "{a..c}": ["a", "b", "c"],
    "{a,b}/{1,2}": ["a/1", "a/2", "b/1", "b/2"],
    "{a,b{1..2}}": ["a", "b1", "b2"],
    "{a,}x": ["ax", "x"],
    "{a}{}.tar": ["{a}{}.tar"],
    "a.tar": ["a.tar"],
    "simplecache::s3://b/{0..1}.tar": ["simplecache::s3://b/0.tar", "simplecache::s3://b/1.tar"],
}


@pytest.mark.parametrize("text", EXPANDED)
def test_expands_as_a_shell(text: str) -> None:
    assert expand(text) == EXPANDED[text]
    assert (first_brace(text) is None) == (EXPANDED[text] == [text])


def test_too_many_are_refused_at_once() -> None:
    with pytest.raises(UsageError, match="more than 1,000,000 files"):
        expand("s3://b/{0..99999999999}.tar")


@pytest.fixture(params=["disk", "bucket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    address = str(tmp_path) if request.param == "disk" else str(request.getfixturevalue("bucket"))
    for name in ("a/00.tar", "a/01.tar", "b/00.tar", "b/x 1.tar", *(f"many/{number:03d}.tar" for number in range(12))):
        Place(address).child(name).write(b"x")
    return address


def found(address: str) -> list[str]:
    config = RegionCapConfig(input=address, captioner="pixels")
    files = find_files(config, DEFAULT_FILESYSTEMS)
    return [file.relative_to(files.root.address) for file in files.data]


def test_the_files_that_braces_name(folder: str) -> None:
    assert found(f"{folder}/{{a,b}}/00.tar") == ["a/00.tar", "b/00.tar"]
    assert found(f"{folder}/a/{{00..01}}.tar") == ["00.tar", "01.tar"]
    assert found(f"{folder}/many/{{011..000}}.tar") == [f"{number:03d}.tar" for number in range(11, -1, -1)]
    assert found(f"{folder}/{{b,a}}/*.tar") == ["b/00.tar", "b/x 1.tar", "a/00.tar", "a/01.tar"]


def test_a_missing_one_is_named(folder: str) -> None:
    for pattern, missing in (("a/{00..02}.tar", "a/02.tar"), ("many/{005..015}.tar", "many/012.tar")):
        with pytest.raises(UsageError, match=rf"{missing} does not exist; it is one of the \d+ files"):
            found(f"{folder}/{pattern}")
    with pytest.raises(UsageError, match=r"c/\*\.tar does not exist"):
        found(f"{folder}/{{a,c}}/*.tar")


def test_a_name_may_hold_braces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "{a,b}").mkdir()
    for name in ("{1..2}.jsonl", "{a,b}/x.jsonl"):
        (tmp_path / name).write_text("{}")
    assert found(f"{tmp_path}/{{1..2}}.jsonl") == ["{1..2}.jsonl"]
    assert found(f"{tmp_path}/{{a,b}}") == found(f"{tmp_path}/{{a,b}}/*.jsonl") == ["x.jsonl"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1.tar").touch()
    (tmp_path / "2.tar").touch()
    assert found("{1,2}.tar") == ["1.tar", "2.tar"]
