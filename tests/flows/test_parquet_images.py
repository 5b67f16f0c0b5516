"""The whole flow on images in Parquet files that Hugging Face's `datasets` wrote, and what reads its output."""

from __future__ import annotations

import csv
import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import fsspec
import pyarrow.parquet as pq
import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.output.summary import Summary
from regioncap.storage.parquet_cells import ParquetCells
from tests.support.commands import call
from tests.support.photos import draw_photo, write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

ROWS = 7


def photo(number: int) -> bytes:
    done, data = cv2.imencode(".png", draw_photo(number))
    assert done
    return data.tobytes()


def row_of(number: int) -> dict[str, Any]:
    return {"bbox": [[float(side) for side in BOX]] if number % 2 else None, "label": f"n{number}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `in` with two Parquet files, as a data set on the Hub has them."""
    from datasets import Dataset, Features, Image, Sequence, Value

    columns: dict[str, list[Any]] = {"image": [], "bbox": [], "label": []}
    for number in range(ROWS):
        image = {"bytes": photo(number), "path": f"photo{number}.png"}
        for name, value in ({"image": image} | row_of(number)).items():
            columns[name].append(value)
    features = Features({"image": Image(), "bbox": Sequence(Sequence(Value("float32"))), "label": Value("string")})
    made = Dataset.from_dict(columns, features=features)
    (tmp_path / "in").mkdir()
    for index in range(2):
        shard = made.shard(2, index, contiguous=True)
        shard.to_parquet(str(tmp_path / "in" / f"train-{index:05d}-of-00002.parquet"), batch_size=3)
    return tmp_path


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.0, slots=16)) as running:
        yield running


def settings(server: RunningServer) -> dict[str, Any]:
    return {"captioner": "openai", "model": "fake-vlm", "endpoint": server.url}


def test_a_run_gives_what_it_gives_on_files_and_pays_nothing_for_the_same_pictures(
    folder: Path, run: Run, server: RunningServer
) -> None:
    here = run(folder, input=str(folder / "in"), **settings(server))
    assert (here.rows_out, here.rejects) == (ROWS, 0)
    for number in range(ROWS):
        write_photo(folder / f"photo{number}.png", number)
    write_rows(folder / "photos.jsonl", [{"image": f"photo{number}.png"} | row_of(number) for number in range(ROWS)])
    asked = server.stats["requests"]
    files = run(folder, output=str(folder / "files.jsonl"), **settings(server))
    assert (files.rows_out, files.captions_asked, server.stats["requests"]) == (ROWS, 0, asked)
    names = []
    for one, other in zip(read_rows(folder / "out.jsonl"), read_rows(folder / "files.jsonl"), strict=True):
        names.append((one.pop("image"), one["meta_info"].pop("image_row")))
        picture = (folder / other["image"]).read_bytes()
        assert one["meta_info"]["image_sha256"] == hashlib.sha256(picture).hexdigest()
        assert one.pop("image_path") == other.pop("image")
        assert one == other
    first, second = (f"train-0000{index}-of-00002.parquet" for index in range(2))
    assert names == [(first, 1), (first, 2), (first, 3), (first, 4), (second, 1), (second, 2), (second, 3)]


def test_no_step_holds_the_bytes_and_a_second_run_reads_none(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, input=str(folder / "in"))
    steps = [path for path in (folder / "cache").rglob("*.jsonl") if "_step" in str(path)]
    assert len(steps) >= 6
    assert not any("iVBORw0KGgo" in path.read_text() or "PNG" in path.read_text() for path in steps)

    def forbidden(*_: Any) -> Any:
        raise AssertionError("an image was read")

    with monkeypatch.context() as patch:
        patch.setattr(ParquetCells, "read_group", forbidden)
        again = run(folder, input=str(folder / "in"))
        assert (again.rows_out, again.step_seconds) == (ROWS, {})
    table = pq.read_table(folder / "in" / "train-00000-of-00002.parquet")
    pq.write_table(table, folder / "in" / "train-00000-of-00002.parquet", compression="gzip")
    assert run(folder, input=str(folder / "in")).step_seconds.keys() >= {"load", "extract"}


def test_a_row_whose_image_is_damaged_is_a_reject_with_its_row(folder: Path, run: Run) -> None:
    path = folder / "in" / "train-00001-of-00002.parquet"
    table = pq.read_table(path).to_pylist()
    table[1]["image"]["bytes"] = b"no image"
    pq.write_table(pq.read_table(path).from_pylist(table, schema=pq.read_schema(path)), path)
    summary = run(folder, input=str(folder / "in"), max_reject_share=1)
    assert (summary.rows_out, summary.rejects_by_code) == (ROWS - 1, {"image_unreadable": 1})
    (reject,) = read_rows(folder / "out.rejects.jsonl")
    assert (reject["source"], reject["line"], reject["image_row"]) == (path.name, 2, 2)
    assert reject["row"]["image"] == path.name


def test_focal_crops_are_cut_from_them(folder: Path, run: Run, server: RunningServer) -> None:
    summary = run(folder, input=str(folder / "in"), prompt_mode="focal", **settings(server))
    assert (summary.rows_out, summary.rejects) == (ROWS, 0)


def test_everything_that_reads_an_output_finds_its_images(
    folder: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder, input=str(folder / "in"), draw_visualization=False)
    out = str(folder / "out.jsonl")
    run(folder, input=str(folder / "in"), draw_visualization=False, output=str(folder / "b.jsonl"), sample=2)

    assert call(capsys, "report", out, "--against", str(folder / "b.jsonl")).code == 0
    page = (folder / "out.against-b.report.html").read_text()
    assert page.count("data:image/webp;base64,") == ROWS
    assert "train-00001-of-00002.parquet row 3" in page
    changes = [page.count(f'data-change="{change}"') for change in ("same", "changed", "only_here")]
    assert changes == [2, 0, ROWS - 2]
    assert call(capsys, "sheet", out, str(folder / "sheet.jpg")).code == 0

    for to in ("coco", "llava", "csv", "parquet", "wds"):
        ended = call(capsys, "export", out, "--to", to)
        assert ended.code == 0, ended.err
    names = [image["file_name"] for image in json.loads((folder / "out.coco.json").read_text())["images"]]
    assert len(set(names)) == ROWS
    assert names[-1] == "train-00001-of-00002.parquet row 3"
    talks = json.loads((folder / "out.llava.json").read_text())
    assert len({talk["id"] for talk in talks}) == len({talk["image"] for talk in talks}) == ROWS
    with (folder / "out.csv").open(newline="") as file:
        assert len({(line["image"], line["image_row"]) for line in csv.DictReader(file)}) == ROWS
    rows = pq.read_table(folder / "out.parquet").to_pylist()
    assert [row["row"]["image_row"] for row in rows] == [1, 2, 3, 4, 1, 2, 3]
    with tarfile.open(next((folder / "out.wds").glob("*.tar"))) as tar:
        images = [tar.extractfile(member).read() for member in tar if member.name.endswith(".png")]  # type: ignore[union-attr]
    assert images == [photo(number) for number in range(ROWS)]

    ended = call(capsys, "export", out, "--to", "csv", "--where", "image_row=3", "--where", "image~00001")
    assert ended.code == 0, ended.err
    with (folder / "out.csv").open(newline="") as file:
        assert {line["label"] for line in csv.DictReader(file)} == {"n6"}


def test_try_shows_one_of_them(folder: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "in" / "train-00001-of-00002.parquet"
    ended = call(capsys, "try", str(path), "--row", "2", "--endpoint", server.url, "--model", "fake-vlm")
    assert ended.code == 0, ended.err
    assert f"image        {path.name} row 2" in ended.out


def test_the_same_in_a_bucket(folder: Path, run: Run, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = fsspec.filesystem("s3", use_listings_cache=False)
    s3.put(str(folder / "in"), f"{bucket}/in", recursive=True)

    def run_on_s3() -> Summary:
        return run(folder, input=f"{bucket}/in/*.parquet", output=str(folder / "s3.jsonl"))

    assert run_on_s3().rows_out == ROWS
    found = read_rows(folder / "s3.jsonl")
    assert {row["image"] for row in found} == {f"{bucket}/in/train-0000{i}-of-00002.parquet" for i in range(2)}

    def forbidden(*_: Any) -> Any:
        raise AssertionError("an image was read")

    with monkeypatch.context() as patch:
        patch.setattr(ParquetCells, "read_group", forbidden)
        assert run_on_s3().step_seconds == {}
    s3.put(str(folder / "in" / "train-00001-of-00002.parquet"), f"{bucket}/in/train-00000-of-00002.parquet")
    assert run_on_s3().rows_out == 6
    assert read_rows(folder / "s3.jsonl")[0]["label"] == "n4"
