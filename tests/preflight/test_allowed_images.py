"""Rows that name what is not allowed stop a run once where they are many, and are rejects where they are few."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import UsageError
from regioncap.preflight.allowed_images import check_allowed_images
from regioncap.preflight.first_rows import FirstRows
from regioncap.run.context import RunContext
from tests.support.photos import write_photo
from tests.support.rows import write_rows
from tests.support.runs import config_of
from tests.support.steps import make_all


def check(folder: Path, images: list[str], **settings: Any) -> None:
    write_rows(folder / "photos.jsonl", [{"image": image} for image in images])
    with closing(RunContext(config_of(folder, **settings))) as context:
        check_allowed_images(context, FirstRows(context))


def test_what_is_the_settings_fault_stops_the_run_with_the_setting(tmp_path: Path) -> None:
    images = [f"s3://other/{number}.jpg" for number in range(60)] + [f"/data/{n % 7}/{n}.jpg" for n in range(40)]
    check(tmp_path, images)
    with pytest.raises(UsageError) as stopped:
        check(tmp_path, images, allowed_images="strict")
    said = str(stopped.value)
    assert "100 of the first 100 rows name images that are not allowed: 60 in s3://other/; 40 in /data" in said
    assert said.endswith("--allowed-images strict --allowed-images s3://other/ --allowed-images /data")
    check(tmp_path, images, allowed_images=["strict", "s3://other/", "/data"])


def test_few_rows_do_not_stop_the_others(tmp_path: Path) -> None:
    good = ["a.jpg"] * 95
    bad = ["http://169.254.169.254/", "/proc/self/environ", "github://a:b@c/x.jpg", "simplecache::s3://b/x", "dir://x"]
    check(tmp_path, good + bad)
    with pytest.raises(UsageError, match="6 of the first 101 rows"):
        check(tmp_path, [*good, *bad, "reference://x"])


def test_hosts_are_looked_up_where_only_public_ones_are_allowed(tmp_path: Path) -> None:
    images = ["http://localhost:9/a.jpg"] * 10 + ["http://nosuch.invalid/a.jpg", "http://[x]/a.jpg"]
    check(tmp_path, images)
    with pytest.raises(UsageError, match=r"10 of the first 12 rows .*: 10 in localhost .*--allowed-images localhost"):
        check(tmp_path, images, allowed_images="strict")
    check(tmp_path, images, allowed_images="strict,localhost")


def test_an_input_below_image_root_and_its_images_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    settings = {"allowed_images": "strict", "image_root": str(tmp_path / "photos")}
    own = ["a.jpg", f"{tmp_path}/photos/b.jpg", f"{tmp_path}/c.jpg"]
    check(tmp_path, own, **settings)
    with pytest.raises(UsageError, match="allowed_images"):
        check(tmp_path, [*own, str(tmp_path.parent / "elsewhere" / "d.jpg")], **settings)


def test_every_row_comes_out_once(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", 1)
    images = ["a.png"] * 40 + ["/proc/self/environ", "http://169.254.169.254/x"]
    write_rows(tmp_path / "photos.jsonl", [{"image": image} for image in images])
    with closing(RunContext(config_of(tmp_path))) as context:
        made = make_all(context)
    assert (len(made.rows), made.codes()) == (40, ["image_refused"] * 2)
