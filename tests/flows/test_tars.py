"""The whole flow on WebDataset tars: on disk and on S3, over HTTP."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import webdataset
from aiobotocore.httpsession import AIOHTTPSession

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.config.model import RegionCapConfig
from regioncap.exports.export import ExportRequest, export
from regioncap.output.pictures import Pictures
from regioncap.output.reading import open_output
from regioncap.output.summary import Summary
from regioncap.storage.filesystem import Filesystems, Place
from tests.support.photos import draw_photo
from tests.support.rows import BOX, read_rows
from tests.support.tars import tar_bytes, webdataset_leaves_files_open

TarRun = Callable[..., Summary]


def photo(seed: int) -> bytes:
    done, data = cv2.imencode(".png", draw_photo(seed))
    assert done
    return data.tobytes()


def samples(seeds: range) -> list[tuple[str, bytes]]:
    """An image and a `.json` for each seed."""
    return [
        member
        for seed in seeds
        for member in ((f"{seed:04d}.png", photo(seed)), (f"{seed:04d}.json", json.dumps({"bbox": [BOX]}).encode()))
    ]


@pytest.fixture
def run_tars(prefect_server: None, tmp_path: Path) -> TarRun:
    """A run on tars; output and cache lie on disk."""
    from regioncap.flows.region_caption import region_caption

    def run(address: str, **changes: Any) -> Summary:
        values = {"output": str(tmp_path / "out.jsonl"), "cache_path": str(tmp_path / "cache"), "captioner": "pixels"}
        return region_caption(RegionCapConfig(**{"input": address, "max_boxes": 3, **values, **changes}))

    return run


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many requests of each kind went to the store."""
    counts: Counter[str] = Counter()
    real = AIOHTTPSession.send

    async def counted(session: Any, request: Any) -> Any:
        kind = "list_objects_v2" if "list-type=2" in request.url else f"{request.method.lower()}_object"
        counts[kind] += 1
        return await real(session, request)

    monkeypatch.setattr(AIOHTTPSession, "send", counted)
    return counts


@webdataset_leaves_files_open
@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_what_webdataset_wrote_is_captioned(ending: str, run_tars: TarRun, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with webdataset.ShardWriter(f"{tmp_path}/in/%02d.{ending}", maxcount=20, verbose=0) as writer:
        for seed in range(50):
            writer.write({"__key__": f"{seed:04d}", "png": photo(seed), "json": {"bbox": [BOX], "id": seed}})
    summary = run_tars(f"{tmp_path}/in/{{00..02}}.{ending}")
    assert (summary.rows_in, summary.rows_out) == (50, 50)
    rows = read_rows(tmp_path / "out.jsonl")
    assert [(row["id"], row["__key__"]) for row in rows] == [(seed, f"{seed:04d}") for seed in range(50)]
    assert rows[20]["image"] == f"tar://0020.png::01.{ending}"
    assert all(row["mdvp_record"] for row in rows)
    # The same pictures as loose files have the same captions.
    loose = tmp_path / "loose"
    for seed in range(50):
        Place(str(loose)).child(f"{seed:04d}.png").write(photo(seed))
    (loose / "x.jsonl").write_text("".join(f'{{"image": "{seed:04d}.png", "bbox": [{BOX}]}}\n' for seed in range(50)))
    run_tars(f"{loose}/x.jsonl")
    assert [row["mdvp_record"] for row in read_rows(tmp_path / "out.jsonl")] == [row["mdvp_record"] for row in rows]


def test_requests_are_few_and_a_second_run_reads_no_image(
    bucket: str, run_tars: TarRun, requests: Counter[str], tmp_path: Path
) -> None:
    for number in range(3):
        Place(f"{bucket}/in/{number}.tar").write(tar_bytes(samples(range(number * 100, number * 100 + 100))))
    requests.clear()
    address = f"{bucket}/in/{{0..2}}.tar"
    assert run_tars(address, box_check=False).rows_out == 300
    assert requests["get_object"] <= 3 * 8  # a tar: its kind twice, its headers, one or two for each shard
    assert requests.total() < 60
    rows = read_rows(tmp_path / "out.jsonl")
    assert rows[0]["image"] == f"tar://0000.png::{bucket}/in/0.tar"

    requests.clear()
    summary = run_tars(address, box_check=False)
    assert (summary.rows_out, summary.captions_asked, requests["get_object"]) == (300, 0, 0)


def test_of_a_tar_that_changed_only_new_pictures_are_asked_for(run_tars: TarRun, tmp_path: Path) -> None:
    tar = Place(str(tmp_path)).child("in", "0.tar")
    with RunningServer(Behaviour(latency=0.0, slots=16)) as server:
        model = {"captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "max_pixels": 40_000}
        tar.write(tar_bytes(samples(range(40))))
        assert run_tars(tar.address, **model).captions_asked == 40
        tar.write(tar_bytes(samples(range(35, 50)) + samples(range(35))))
        summary = run_tars(tar.address, **model)
        assert (summary.rows_out, summary.captions_asked) == (50, 10)


def test_rejects_stand_in_their_place(run_tars: TarRun, tmp_path: Path) -> None:
    bad = [("x.txt", b"no image"), ("y.png", b"no png"), ("z.png", photo(7)), ("z.json", b"{broken")]
    Place(str(tmp_path)).child("in", "0.tar").write(tar_bytes([*samples(range(3)), *bad]))
    summary = run_tars(f"{tmp_path}/in", max_reject_share=1.0)
    rejects = read_rows(tmp_path / "out.rejects.jsonl")
    assert [(row["line"], row["code"]) for row in rejects] == [(4, "bad_row"), (5, "image_unreadable"), (6, "bad_json")]
    assert (summary.rows_in, summary.rows_out) == (6, 3)


def test_report_and_exports_find_the_members(run_tars: TarRun, tmp_path: Path) -> None:
    tar = Place(str(tmp_path)).child("in", "0.tar")
    tar.write(tar_bytes(samples(range(3))))
    run_tars(f"{tmp_path}/in/0.tar")
    files = Filesystems()
    output = str(tmp_path / "out.jsonl")
    done = export(open_output(output, files), ExportRequest("wds"), files)
    assert done.rows == 3
    with tarfile.open(done.files[0]) as written:
        names = [member.name for member in written]
    assert names[::2] == ["000000001.png", "000000002.png", "000000003.png"]
    pictures = Pictures(open_output(output, files), files)
    assert [pictures.read(row.ref) for row in open_output(output, files).rows()] == [photo(seed) for seed in range(3)]
    # The tar is written again, in another order: no row gets another's picture.
    tar.write(tar_bytes([("0001.png", photo(1)), *samples(range(3))]))
    done = export(open_output(output, files), ExportRequest("wds"), files)
    assert (done.rows, done.left_out) == (0, {"image_unavailable": 3})
