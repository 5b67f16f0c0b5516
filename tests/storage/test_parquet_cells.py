"""Images in cells of Parquet files: what is requested to read them, and how much memory that takes."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.storage.filesystem import Filesystems
from regioncap.storage.images import ImageFiles
from regioncap.storage.parquet_groups import REQUEST_BYTES

ADDRESS = "far://bucket/x.parquet"
CELL_BYTES = 20_000


def cell(row: int) -> bytes:
    return b"%d " % row * (CELL_BYTES // len(b"%d " % row))


def parquet_of(rows: int, group: int) -> bytes:
    """A file with an image in each row, beside a column of texts as large; a page holds ten rows."""
    cells = [cell(row) for row in range(1, rows + 1)]
    table = pa.table({"text": [cell.decode() for cell in cells], "image": cells})
    file = io.BytesIO()
    pq.write_table(
        table,
        file,
        row_group_size=group,
        use_dictionary=False,
        compression="none",
        write_batch_size=10,
        data_page_size=10,
    )
    return file.getvalue()


class FarFiles(Filesystems):
    """A store with one file, which records what is requested of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data
        self.ranges: list[tuple[int, int]] = []

    def open(self, address: str) -> tuple[Any, str]:
        if address != ADDRESS:
            raise FileNotFoundError(address)
        return self, address

    def info(self, path: str) -> dict[str, Any]:
        return {"size": len(self.data), "ETag": "1"}

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        self.ranges.append((start, end))
        return self.data[start:end]

    @property
    def bytes(self) -> int:
        return sum(end - start for start, end in self.ranges)


def ref(row: int) -> ImageRef:
    return ImageRef(ADDRESS, row=row, column="image")


def refs(first: int, last: int) -> list[ImageRef]:
    return [ref(row) for row in range(first, last + 1)]


@pytest.fixture
def pool() -> Any:
    with ThreadPoolExecutor(4) as made:
        yield made


def test_a_shard_is_brought_near_with_a_request_for_a_row_group(pool: ThreadPoolExecutor) -> None:
    files = FarFiles(parquet_of(rows=400, group=100))
    images = ImageFiles("/", files)
    with images.fetched(refs(1, 400), pool):
        requests = len(files.ranges)
        assert [images.read(ref(row)) for row in (1, 100, 101, 399, 400)] == [cell(n) for n in (1, 100, 101, 399, 400)]
        assert len(files.ranges) == requests <= 4 * 2 + 3
    assert 400 * CELL_BYTES < files.bytes < 402 * CELL_BYTES + 100_000, "more than one column and the footer"


def test_shards_that_share_a_row_group_read_it_once(pool: ThreadPoolExecutor) -> None:
    files = FarFiles(parquet_of(rows=1000, group=1000))
    images = ImageFiles("/", files)
    for first in range(1, 1000, 100):
        with images.fetched(refs(first, first + 99), pool):
            assert images.read(ref(first + 50)) == cell(first + 50)
    assert files.bytes < 1000 * CELL_BYTES + 100_000
    with images.fetched(refs(1, 10), pool):  # and from its beginning when that is wanted again
        assert images.read(ref(2)) == cell(2)


def test_rows_that_are_read_side_by_side_need_no_second_pass(pool: ThreadPoolExecutor) -> None:
    files = FarFiles(parquet_of(rows=1000, group=1000))
    images = ImageFiles("/", files)
    for first in range(1, 1000, 16):  # as an export does
        rows = range(min(first + 15, 1000), first - 1, -1)
        assert list(pool.map(images.read, map(ref, rows))) == list(map(cell, rows))
    assert files.bytes < 1000 * CELL_BYTES + 500_000  # the footer, once for each thread


def test_one_row_is_read_with_what_lies_before_it_in_its_group() -> None:
    files = FarFiles(parquet_of(rows=2000, group=500))
    assert ImageFiles("/", files).read(ref(1001)) == cell(1001)
    assert files.bytes < REQUEST_BYTES + 100_000


def test_memory_does_not_grow_with_the_row_group(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(parquet_of(rows=2000, group=2000))
    images, before, most = ImageFiles(str(tmp_path)), pa.total_allocated_bytes(), 0
    for row in range(1, 2001):
        images.read(ImageRef("x.parquet", row=row, column="image"))
        most = max(most, pa.total_allocated_bytes() - before)
    images.close()
    assert most < 16_000_000 < 2000 * CELL_BYTES


def test_damage_costs_the_rows_behind_it_in_its_row_group(pool: ThreadPoolExecutor) -> None:
    data = bytearray(parquet_of(rows=3000, group=1000))
    column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(1).column(1)
    place = column.data_page_offset + column.total_compressed_size // 2
    header = data.index(b"\x15\x00\x15", place)  # where the next page begins, as Thrift writes it
    data[header : header + 40] = b"\xff" * 40
    files = FarFiles(bytes(data))
    images, last = ImageFiles("/", files), ""
    found: dict[int, bool | str] = {}
    with images.fetched(refs(1, 3000), pool):
        for row in range(1, 3001):
            try:
                found[row] = images.read(ref(row)) == cell(row)
            except RowReject as reject:
                found[row] = reject.code
                last = reject.message
    assert f"{ADDRESS} row 2000 cannot be read: the file is damaged" in last
    lost = [row for row, result in found.items() if result == "image_unavailable"]
    assert {result for row, result in found.items() if row not in lost} == {True}
    assert 1200 < lost[0] < 1600
    assert lost == list(range(lost[0], 2001))
    assert files.bytes < 2 * 3000 * CELL_BYTES, "damage is met again and again"


@pytest.mark.parametrize(
    ("wanted", "code", "words"),
    [
        (ImageRef(ADDRESS, row=11, column="image"), "image_missing", "the file has 10 rows"),
        (ImageRef(ADDRESS, row=1, column="picture"), "image_missing", "no column 'picture' of bytes"),
        (ImageRef(ADDRESS, row=1, column="text"), "image_missing", "no column 'text' of bytes"),
        (ImageRef("far://gone.parquet", row=1, column="image"), "image_missing", "row 1 is not there"),
    ],
)
def test_an_image_that_is_not_there_is_a_reject(wanted: ImageRef, code: str, words: str) -> None:
    with pytest.raises(RowReject, match=words) as caught:
        ImageFiles("/", FarFiles(parquet_of(rows=10, group=10))).read(wanted)
    assert caught.value.code == code


def test_a_file_that_is_cut_off_is_a_reject(pool: ThreadPoolExecutor) -> None:
    images = ImageFiles("/", FarFiles(parquet_of(rows=10, group=10)[:-100]))
    with images.fetched(refs(1, 10), pool), pytest.raises(RowReject, match=r"image_unavailable.*damaged"):
        images.read(ref(1))
