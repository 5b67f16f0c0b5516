"""Members of a tar, read by byte range."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.storage.bounded_read import BoundedReader
from regioncap.storage.images import ImageFiles
from regioncap.storage.tar_members import SPAN_BYTES, spans_of
from tests.support.tars import tar_bytes


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


def ref(name: str, at: tuple[int, int]) -> ImageRef:
    return ImageRef(f"tar://{name}::0.tar", at)


def places(data: bytes) -> dict[str, tuple[int, int]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: (member.offset_data, member.size) for member in tar}


def number(one: ImageRef) -> bytes:
    return one.name.removeprefix("tar://").partition(".")[0].encode()


LONG = f"{'d' * 90}/{'ä' * 60}.jpg"


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_a_tar_that_was_rewritten_gives_no_other_rows_picture(form: int, mode: str, tmp_path: Path) -> None:
    before = [("a.jpg", b"first"), (LONG, b"second"), ("c.jpg", b"third")]
    data = tar_bytes(before, mode, form)
    (tmp_path / "0.tar").write_bytes(data)
    at = places(data)
    assert [ImageFiles(str(tmp_path)).read(ref(name, at[name])) for name, _ in before] == [text for _, text in before]
    shuffled = [("c.jpg", b"third"), (LONG.replace("ä", "ü"), b"second"), ("a.jpg", b"First")]
    (tmp_path / "0.tar").write_bytes(tar_bytes(shuffled, mode, form))
    for name, _ in before:
        images = ImageFiles(str(tmp_path))
        for _ in range(2):
            with pytest.raises(RowReject, match="the tar was changed") as reject:
                images.read(ref(name, at[name]))
            assert reject.value.code == "image_unavailable"


def test_a_compressed_tar_is_gone_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tar_bytes([(f"{number}.jpg", b"%d" % number * 400) for number in range(200)], "w:gz")
    (tmp_path / "0.tar").write_bytes(data)
    refs = [ref(name, at) for name, at in places(data).items()]
    read = 0
    real = BoundedReader.read_range

    def counted(self: BoundedReader, address: str, start: int, end: int) -> bytes:
        nonlocal read
        read += end - start > 16
        return real(self, address, start, end)

    monkeypatch.setattr(BoundedReader, "read_range", counted)
    images = ImageFiles(str(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        for some in (refs[:50], refs[50:150]):
            with images.fetched(some, pool):
                assert [images.read(one) for one in some] == [number(one) * 400 for one in some]
        assert [len(images.read(one)) for one in refs[150:]] == [1200] * 50  # one by one
    assert read == 1
    images.close()


def test_a_member_told_by_its_name_alone(tmp_path: Path) -> None:
    data = tar_bytes([("./a.jpg", b"old"), ("b [1].jpg", b"b"), ("./a.jpg", b"new")])
    (tmp_path / "0.tar").write_bytes(data)
    (tmp_path / "1.tgz").write_bytes(tar_bytes([("a.jpg", b"zip")], "w:gz"))
    images = ImageFiles(str(tmp_path))
    names = ["a.jpg::0.tar", "./a.jpg::0.tar", "b [1].jpg::0.tar", "a.jpg::1.tgz"]
    assert [images.read(ImageRef(f"tar://{name}")) for name in names] == [b"new", b"new", b"b", b"zip"]
    with pytest.raises(RowReject, match="image_missing"):
        images.read(ImageRef("tar://c.jpg::0.tar"))
