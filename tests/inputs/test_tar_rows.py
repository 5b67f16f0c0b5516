"""WebDataset tars as rows."""

from __future__ import annotations

import gc
import json
import logging
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset

from regioncap.config.model import RegionCapConfig
from regioncap.errors import InputDamaged, StorageError, UsageError
from regioncap.image_ref import ref_of
from regioncap.inputs.readers import input_root, read_shards, secret_addresses
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Place
from regioncap.storage.images import ImageFiles
from regioncap.tasks.load import load_row
from tests.support.range_server import SIGNATURE, range_server
from tests.support.tars import tar_bytes, webdataset_leaves_files_open, write_tar

PLAIN = [("a.jpg", b"A"), ("a.json", b'{"bbox": [[1, 2, 3, 4]]}'), ("b.jpg", b"B"), ("b.txt", "hé\n".encode())]


def loaded(address: str | Path, tmp_path: Path, **settings: Any) -> list[dict[str, Any]]:
    """The input's rows, as `load` gives them."""
    config = RegionCapConfig(input=str(address), captioner="pixels", cache_path=str(tmp_path / "cache"), **settings)
    rows = []
    for shard in read_shards(config, DEFAULT_FILESYSTEMS):
        rows += [load_row(line, shard.source, text, config.image_key) for line, text in shard.lines]
    return rows


def image_of(row: dict[str, Any], address: str | Path) -> bytes:
    root = input_root(RegionCapConfig(input=str(address), captioner="pixels"), DEFAULT_FILESYSTEMS)
    return ImageFiles(root).read(ref_of(row))


@pytest.mark.parametrize("name", ["0.tar", "0.tar.gz", "0.tgz", "0.tar.bz2", "0.tar.xz", "gzip named.tar"])
def test_a_sample_is_a_row(name: str, tmp_path: Path) -> None:
    mode = {".tar": "w", ".bz2": "w:bz2", ".xz": "w:xz"}.get(Path(name).suffix, "w:gz")
    tar = write_tar(tmp_path / name, PLAIN, "w:gz" if "gzip" in name else mode)
    rows = loaded(tar, tmp_path)
    assert [row["row"] for row in rows] == [
        {"bbox": [[1, 2, 3, 4]], "image": f"tar://a.jpg::{name}", "__key__": "a"},
        {"txt": "hé\n", "image": f"tar://b.jpg::{name}", "__key__": "b"},
    ]
    assert [image_of(row, tar) for row in rows] == [b"A", b"B"]
    assert loaded(tar, tmp_path) == rows  # from its index


@webdataset_leaves_files_open
def test_what_webdataset_writes(tmp_path: Path) -> None:
    with webdataset.ShardWriter(f"{tmp_path}/s-%03d.tar", maxcount=3, verbose=0) as writer:
        for number in range(7):
            writer.write({
                "__key__": f"train/{number:04d}", "jpg": b"J%d" % number, "json": {"id": number}, "cls": number,
                "npy": b"x", "txt": f"text {number}",
            })  # fmt: skip
    rows = loaded(f"{tmp_path}/s-{{000..002}}.tar", tmp_path)
    samples = list(webdataset.WebDataset(f"{tmp_path}/s-{{000..002}}.tar", shardshuffle=False))
    gc.collect()
    assert [row["row"]["__key__"] for row in rows] == [sample["__key__"] for sample in samples]
    assert [image_of(row, tmp_path) for row in rows] == [sample["jpg"] for sample in samples]
    for row, sample in zip(rows, samples, strict=True):
        assert (row["row"]["txt"], row["row"]["cls"]) == (sample["txt"].decode(), sample["cls"].decode())
        assert row["row"]["id"] == json.loads(sample["json"])["id"]
    assert [row["source"] for row in rows][::3] == ["s-000.tar", "s-001.tar", "s-002.tar"]


REJECTS: dict[str, tuple[list[tuple[str, bytes]], str, str]] = {
    "no image": ([("b.json", b"{}"), ("b.txt", b"")], "bad_row", "'b' holds no image, but json, txt"),
    "two images": ([("b.jpg", b""), ("b.png", b"")], "bad_row", "2 images: jpg, png; .*image_key=jpg"),
    "two of the kind": ([("b.l.png", b""), ("b.r.png", b"")], "bad_row", "2 images: l.png, r.png"),
    "broken": ([("b.jpg", b""), ("b.json", b'{"a":\n1')], "bad_json", "not JSON"),
    "nested": ([("b.jpg", b""), ("b.json", b'{"a":' + b"[" * 999 + b"]" * 999 + b"}")], "bad_row", "nested"),
}


@pytest.mark.parametrize(("members", "code", "message"), REJECTS.values(), ids=REJECTS)
def test_a_sample_that_is_no_row_is_a_reject(
    members: list[tuple[str, bytes]], code: str, message: str, tmp_path: Path
) -> None:
    tar = write_tar(tmp_path / "0.tar", [PLAIN[0], *members, ("z.jpg", b"Z")])
    first, bad, last = loaded(tar, tmp_path)
    assert bad["reject"]["code"] == code
    assert re.search(message, bad["reject"]["message"])
    assert ("reject" in first, "reject" in last) == (False, False)


def test_the_image_of_a_sample_is_the_plain_one_or_the_one_that_is_named(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "0.tar", [("a.jpg", b"1"), ("a.seg.PNG", b"2"), ("b.rgb.png", b"3")])
    assert [row["image"] for row in loaded(tar, tmp_path)] == ["tar://a.jpg::0.tar", "tar://b.rgb.png::0.tar"]
    named = loaded(tar, tmp_path, image_key="seg.png")
    assert [row["image"] for row in named] == ["tar://a.seg.PNG::0.tar", "tar://b.rgb.png::0.tar"]


def test_fields(tmp_path: Path) -> None:
    fields = {"caption": b"x", "cls": b"7", "seg.txt": b"y", "meta.json": b"[1]", "json": b'{"image": "o.jpg"}'}
    tar = write_tar(tmp_path / "0.tar", [("a.jpg", b"1"), *((f"a.{name}", data) for name, data in fields.items())])
    (row,) = loaded(tar, tmp_path)
    assert row["row"] == {
        "caption": "x", "cls": "7", "seg.txt": "y", "meta.json": [1], "image": "tar://a.jpg::0.tar", "__key__": "a",
    }  # fmt: skip


def test_names_are_names_and_no_syntax(tmp_path: Path) -> None:
    names = ["[1].jpg", "x::y.jpg", "#?%3A.jpg", "dir.d/k.jpg", "../up.jpg", "/abs.jpg", "é\udcff.jpg"]
    names.append(f"{'l' * 300}.jpg")
    data = [name.encode(errors="surrogateescape") for name in names]
    tar = write_tar(tmp_path / "in" / "0 [1] #.tar", zip(names, data, strict=True))
    rows = loaded(tar, tmp_path)
    assert [image_of(row, tar) for row in rows] == data
    assert {file.name for file in tmp_path.iterdir()} == {"in", "cache"}


def test_what_is_no_image_and_no_field_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = [("._a.jpg", b""), (".DS_Store", b""), ("README", b""), ("inner.tar", tar_bytes(PLAIN)), ("a.npy", b"")]
    write_tar(tmp_path / "in" / "0.tar", [*PLAIN, *other])
    write_tar(tmp_path / "in" / "1.tar", [*PLAIN, *other])
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.INFO, "regioncap"):
            assert len(loaded(tmp_path / "in", tmp_path)) == 4
        assert "members of tars that are not read: 4 without extension, 2 .jpg, 2 .tar, 2 .npy" in caplog.text


def test_one_key_twice_is_two_rows(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "0.tar", [("a.jpg", b"1"), ("a.txt", b"x"), ("a.jpg", b"2")])
    rows = loaded(tar, tmp_path)
    assert [image_of(row, tar) for row in rows] == [b"1", b"2"]
    assert "txt" not in rows[1]["row"]


def test_a_folder_may_hold_tars_and_other_rows(tmp_path: Path) -> None:
    write_tar(tmp_path / "in" / "0.tar", PLAIN)
    (tmp_path / "in" / "1.jsonl").write_text('{"image": "x.jpg"}\n')
    assert [row["image"] for row in loaded(tmp_path / "in", tmp_path)] == [
        "tar://a.jpg::0.tar", "tar://b.jpg::0.tar", "x.jpg",
    ]  # fmt: skip


def test_an_image_root_changes_nothing_for_members(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "in" / "0.tar", PLAIN)
    row = loaded(tar, tmp_path, image_root=str(tmp_path / "elsewhere"))[0]
    assert row["image"] == f"tar://a.jpg::{tar}"
    assert image_of(row, tar) == b"A"


def test_damage_comes_behind_the_rows_before_it_and_names_its_place(tmp_path: Path) -> None:
    whole = tar_bytes([(f"{number}.jpg", b"x" * 900) for number in range(100)])
    tar = tmp_path / "0.tar"
    tar.write_bytes(whole[:101_000])
    assert len(loaded(tar, tmp_path, limit=50)) == 50
    for _ in range(2):
        with pytest.raises(InputDamaged, match=r"0\.tar is damaged at byte 100,352: .* within its member '65"):
            loaded(tar, tmp_path)
    (tmp_path / "1.tar.gz").write_bytes(tar_bytes(PLAIN, "w:gz")[:-20])
    with pytest.raises(InputDamaged, match=r"1\.tar\.gz is damaged at its compressed data"):
        loaded(tmp_path / "1.tar.gz", tmp_path)
    (tmp_path / "2.tar").touch()
    with pytest.raises(InputDamaged, match="the file is empty"):
        loaded(tmp_path / "2.tar", tmp_path)


def test_rows_per_box_are_for_tables(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "0.tar", PLAIN)
    with pytest.raises(UsageError, match="per_box is for tables"):
        loaded(tar, tmp_path, rows="per_box")


# --- web servers


def test_a_signed_url_is_used_and_not_shown(tmp_path: Path) -> None:
    with range_server(tar_bytes(PLAIN)) as url:
        config = RegionCapConfig(input=f"{url}/0.tar?{SIGNATURE}", captioner="pixels")
        row = loaded(config.input, tmp_path)[0]
        assert row["image"] == f"tar://a.jpg::{url}/0.tar"
        root = input_root(config, DEFAULT_FILESYSTEMS)
        images = ImageFiles(root, DEFAULT_FILESYSTEMS, secret=secret_addresses(config))
        assert images.read(ref_of(row)) == b"A"
    assert not [file for file in (tmp_path / "cache").rglob("*.rows") if b"signed" in file.read_bytes()]


def test_a_server_that_gives_whole_files_alone_is_named(tmp_path: Path) -> None:
    with range_server(tar_bytes(PLAIN), ranges=False) as url, pytest.raises(StorageError, match="simplecache::"):
        loaded(f"{url}/0.tar?{SIGNATURE}", tmp_path)


# --- the index


def test_a_tar_that_changed_is_read_again(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "0.tar", PLAIN)
    assert len(loaded(tar, tmp_path)) == 2
    write_tar(tar, [*PLAIN, ("c.jpg", b"C")], format=tarfile.PAX_FORMAT)
    assert len(loaded(tar, tmp_path)) == 3


def test_an_index_that_is_not_whole_counts_for_nothing(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "0.tar", PLAIN)
    rows = loaded(tar, tmp_path)
    (index,) = (tmp_path / "cache" / "tars").rglob("*.rows")
    for damaged in (index.read_bytes()[:-5], b"", b"{}\n", b"\xff"):
        index.write_bytes(damaged)
        assert loaded(tar, tmp_path) == rows


def test_the_second_pass_reads_the_index_alone(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Place(f"{bucket}/0.tar").write(tar_bytes(PLAIN))
    rows = loaded(f"{bucket}/0.tar", tmp_path)
    assert rows[0]["image"] == f"tar://a.jpg::{bucket}/0.tar"

    def forbidden(*_: Any) -> bytes:
        raise AssertionError("the tar was read")

    monkeypatch.setattr(Place, "read_range", forbidden)
    assert loaded(f"{bucket}/0.tar", tmp_path) == rows


def test_links_are_counted_and_folders_are_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tar = write_tar(tmp_path / "0.tar", [("a.jpg", b"1")])
    with tarfile.open(tar, "a") as archive:
        for name, kind in (("soft.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE), ("folder", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a.jpg"
            archive.addfile(member)
    with caplog.at_level(logging.INFO, "regioncap"):
        assert len(loaded(tar, tmp_path)) == 1
    assert "members of tars that are not read: 2 links" in caplog.text
