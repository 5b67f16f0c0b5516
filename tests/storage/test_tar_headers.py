"""The members of a tar by its headers: all forms of names, damage, and how few requests it takes."""

from __future__ import annotations

import io
import tarfile

import pytest

from regioncap.storage.tar_headers import Member, TarDamaged, members_of
from regioncap.storage.tar_streams import ForwardStream, RangeStream
from tests.support.tars import tar_bytes

NAMES = ["a.jpg", f"{'long/' * 40}b.jpg", "ä ö.jpg", f"{'ü' * 120}.jpg", "x\udcff.jpg", "./c.jpg"]


def members_in(data: bytes) -> list[Member]:
    forward = list(members_of(ForwardStream(io.BytesIO(data).read)))
    ranged = list(members_of(RangeStream(lambda start, end: data[start:end], len(data))))
    assert forward == ranged
    return ranged


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_every_name_and_place(form: int) -> None:
    data = tar_bytes([(name, name.encode(errors="surrogateescape")) for name in NAMES], format=form)
    found = members_in(data)
    assert [member.name for member in found] == NAMES
    for member in found:
        assert data[member.offset : member.offset + member.size].decode(errors="surrogateescape") == member.name


def test_only_files_are_files() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("l.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type = kind
            tar.addfile(info)
        tar.addfile(tarfile.TarInfo("a.jpg"))
    assert [(member.name, member.is_file) for member in members_in(file.getvalue())] == [
        ("d", False), ("l.jpg", False), ("h.jpg", False), ("a.jpg", True),
    ]  # fmt: skip


def test_tars_that_follow_each_other_are_one() -> None:
    one, other = tar_bytes([("a.jpg", b"1")]), tar_bytes([("b.jpg", b"2")])
    assert [member.name for member in members_in(one + other)] == ["a.jpg", "b.jpg"]


def test_what_lies_behind_the_end_does_not_matter() -> None:
    assert len(members_in(tar_bytes([("a.jpg", b"1")]) + b"remains" * 200)) == 1
    assert members_in(tar_bytes([])) == []


def test_a_tar_may_end_without_the_mark_of_its_end() -> None:
    data = tar_bytes([("a.jpg", b"1")])
    assert len(members_in(data[:1024])) == len(members_in(data[:513])) == 1


WHOLE = tar_bytes([("a.jpg", b"1" * 2000), ("b.jpg", b"2" * 2000)])
DAMAGED = {
    "empty": (b"", "byte 0"),
    "no tar": (b"<html>" * 500, "byte 0: not a tar"),
    "cut in data": (WHOLE[:4000], "'b.jpg'"),
    "cut in a header": (WHOLE[:2700], "byte 2,560"),
    "broken header": (WHOLE[:2600] + b"?" + WHOLE[2601:], "byte 2,560"),
    "one block of zeros, then none": (WHOLE[:512] + b"\0" * 512 + b"?" * 512, "byte"),
}


@pytest.mark.parametrize(("data", "place"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_told_with_its_place(data: bytes, place: str) -> None:
    for stream in (ForwardStream(io.BytesIO(data).read), RangeStream(lambda a, b: data[a:b], len(data))):
        with pytest.raises(TarDamaged, match=place):
            list(members_of(stream))


def test_a_name_without_end_is_damage() -> None:
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 5_000_000_000
    data = long.tobuf(format=tarfile.GNU_FORMAT) + b"x" * 4096
    with pytest.raises(TarDamaged, match="a header of 5,000,000,000 bytes"):
        list(members_of(RangeStream(lambda start, end: data[start:end], 6_000_000_000)))


@pytest.mark.parametrize(("size", "members", "most_requests"), [(20_000, 1000, 3), (3_000_000, 12, 12)])
def test_small_members_are_read_in_large_pieces_and_large_ones_are_skipped(
    size: int, members: int, most_requests: int
) -> None:
    data = tar_bytes((f"{number}.jpg", b"x" * size) for number in range(members))
    pieces: list[int] = []

    def read(start: int, end: int) -> bytes:
        pieces.append(end - start)
        return data[start:end]

    assert len(list(members_of(RangeStream(read, len(data))))) == members
    assert len(pieces) <= most_requests
    assert sum(pieces) < 1.1 * min(len(data), 9_000_000 if size > 1_000_000 else len(data))
