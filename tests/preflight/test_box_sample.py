"""What is looked at before a run: some rows, of each file its beginning, and whole files only where that says too
little."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regioncap.image_ref import ImageRef
from regioncap.preflight.box_sample import HEAD_BYTES, MAX_PICTURES, Header, sample_rows
from regioncap.preflight.first_rows import FirstRows
from regioncap.run.context import RunContext
from regioncap.storage.images import ImageFiles
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import config_of


def noise(kind: str, **options: Any) -> bytes:
    """A picture of 400x300 pixels whose file is longer than what is read of it."""
    pixels = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    assert len(out.getvalue()) > HEAD_BYTES
    return out.getvalue()


def headers(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Header | None]:
    write_rows(folder / "photos.jsonl", rows)
    with closing(RunContext(config_of(folder))) as context:
        return {row.ref.name: row.header for row in sample_rows(context, FirstRows(context))}


def test_only_what_is_needed_of_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(noise("JPEG", quality=100, exif=exif))
    (tmp_path / "b.png").write_bytes(noise("PNG"))
    (tmp_path / "c.webp").write_bytes(noise("WEBP", lossless=True))  # Pillow opens only whole ones
    (tmp_path / "d.jpg").write_bytes(b"no picture")
    (tmp_path / "e.jpg").write_bytes(b"\xff\xd8\xff" + bytes(2 * HEAD_BYTES))
    whole: list[str] = []
    read = ImageFiles.read

    def recorded(self: ImageFiles, ref: ImageRef) -> bytes:
        whole.append(ref.name)
        return read(self, ref)

    monkeypatch.setattr(ImageFiles, "read", recorded)
    found = headers(tmp_path, [{"image": name, "bbox": BOX} for name in ("a.jpg", "b.png", "c.webp", "d.jpg", "e.jpg")])
    assert found["a.jpg"] == Header((300, 400), 6)
    assert found["b.png"] == found["c.webp"] == Header((400, 300), 1)
    assert found["d.jpg"] is found["e.jpg"] is None
    assert sorted(whole) == ["c.webp", "e.jpg"]


def test_pictures_are_looked_at_throughout_the_first_rows(tmp_path: Path) -> None:
    count = 2 * MAX_PICTURES
    write_photo(tmp_path / "0.png", 1)
    for number in range(count):
        (tmp_path / f"{number}.png").write_bytes((tmp_path / "0.png").read_bytes())
    rows = [{"image": f"{number}.png", "bbox": BOX} for number in range(count)]
    looked = [header is not None for header in headers(tmp_path, [*rows, {"image": "0.png"}]).values()]
    assert looked == [True, False] * MAX_PICTURES


def test_rows_without_sound_boxes_are_left_out(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"image": "a.png"},
        {"image": "b.png", "bbox": []},
        {"image": "c.png", "bbox": [[1, 2, None, 4]]},
        {"image": "d.png", "bbox": "[[1, 2, 3, 4"},
        {"bbox": BOX},
        {"image": "e.png", "bbox": [[1, 2, 3, 10**400], BOX]},
    ]
    assert headers(tmp_path, rows) == {"e.png": None}
