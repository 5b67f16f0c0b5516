"""Members of a tar, read by byte range."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.storage.images import ImageFiles
from regioncap.storage.tar_members import SPAN_BYTES, spans_of


def test_neighbours_are_read_together_and_others_apart() -> None:
    refs = [ImageRef("x", (at, 1000)) for at in (0, 2000, 10_000_000, 10_002_000)]
    assert [[ref.byte_range for ref in span] for span in spans_of(refs[::-1])] == [
        [(0, 1000), (2000, 1000)], [(10_000_000, 1000), (10_002_000, 1000)],
    ]  # fmt: skip


def test_a_span_does_not_grow_beyond_its_size() -> None:
    half = SPAN_BYTES // 2
    spans = list(spans_of([ImageRef("x", (number * half, half)) for number in range(5)]))
    assert [len(span) for span in spans] == [2, 2, 1]


def test_a_member_is_read_from_a_tar_that_its_row_names_below_the_root(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name, text in (("a.jpg", b"first"), ("b.jpg", b"second")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    with tarfile.open(tmp_path / "0.tar") as tar:
        place = tar.getmember("b.jpg").offset_data
    images = ImageFiles(str(tmp_path))
    assert images.read(ImageRef("tar://b.jpg::0.tar", (place, 6))) == b"second"
    with pytest.raises(RowReject, match="image_unavailable"):
        images.read(ImageRef("tar://b.jpg::0.tar", (place, 100_000)))
    with pytest.raises(RowReject, match="image_missing"):
        images.read(ImageRef("tar://b.jpg::gone.tar", (place, 6)))
