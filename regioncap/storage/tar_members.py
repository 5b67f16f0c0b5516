"""Images inside tars: where a member lies, and its bytes, by byte range or in one pass over a compressed tar."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef, split_tar_name, tar_name
from regioncap.storage.compression import MAGIC_BYTES, compression_in
from regioncap.storage.filesystem import Filesystems
from regioncap.storage.image_errors import shown_image
from regioncap.storage.opening import LOCAL_FS
from regioncap.storage.tar_headers import TarStream, members_before, members_of
from regioncap.storage.tar_streams import TarFile

ReadRange = Callable[[str, int, int], bytes]
"""The bytes of the file at a path or URL, from an offset up to another."""

SPAN_BYTES = 8_000_000
"""About as much is read with one request: so much that its latency hardly counts, so little that it fits in memory."""

GAP_BYTES = 64_000
"""Neighbours closer than this are read together: headers, captions and other small members lie between them."""

BEFORE_BYTES = 8192
"""Read before a member: its header, and the blocks with a name that is too long for one."""

MAX_NAMES = 500_000
"""Members of all tars together whose places are held, for rows that tell a member by its name alone."""

MAX_WALKS = 4
"""Passes over compressed tars that may go on; each holds some 10 MB."""

Places = dict[str, tuple[int, int]]
"""(offset, size) of the members of a tar by name."""


class TarWalk:
    """A pass over a tar, which may go on where it ended. `at`: the byte where it is. `goes_on`: whether its stream
    stays open."""

    def __init__(self, address: str, stream: TarStream, goes_on: bool) -> None:
        self.address = address
        self.goes_on = goes_on
        self.at = 0
        self._wanted: dict[tuple[int, int], ImageRef] = {}
        self._members = members_of(stream, lambda member: (member.offset, member.size) in self._wanted)

    def read(self, group: Sequence[ImageRef]) -> Iterator[tuple[ImageRef, bytes]]:
        """Those members of a group that are where they were, with their bytes. None of them lies before `at`."""
        self._wanted = {_offset_size(ref): ref for ref in group}
        last = max(offset for offset, _ in self._wanted)
        for member in self._members:
            self.at = member.offset + member.size
            ref = self._wanted.get((member.offset, member.size))
            if ref is not None and member.data is not None and member.name in _names(ref):
                yield ref, member.data
            if member.offset >= last:
                return


class Tars:
    """The tars that a process reads members of; the paths and URLs given are where they are.

    `read`: reads a range of a file; raises what the filesystem raises.
    """

    def __init__(self, files: Filesystems, read: ReadRange) -> None:
        self._files = files
        self._read = read
        self._lock = threading.Lock()
        self._sniffing = threading.Lock()
        self._compressions: dict[str, str] = {}
        self._places: OrderedDict[str, Places] = OrderedDict()
        self._changed: set[ImageRef] = set()
        self._walks: deque[TarWalk] = deque(maxlen=MAX_WALKS)

    def is_compressed(self, address: str) -> bool:
        """Whether a tar can only be read from its start; asked once. Raises what `read` raises."""
        return bool(self._compression(address))

    def groups(self, address: str, refs: Sequence[ImageRef]) -> Iterator[list[ImageRef]]:
        """Members of one tar, in groups that are best read together: neighbours, or all if it is compressed."""
        with contextlib.suppress(Exception):  # met again where the members are read
            if self.is_compressed(address):
                yield list(refs)
                return
        yield from spans_of(refs)

    def read(self, address: str, group: Sequence[ImageRef]) -> Iterator[tuple[ImageRef, bytes]]:
        """Each member of a group with its bytes.

        Raises what `read` raises, EOFError and TarDamaged for a damaged tar, and RowReject if another member lies there
        now: the tar was replaced.
        """
        if not self.is_compressed(address):
            yield from read_span(self._read, address, group)
            return
        missing = set(group)
        if not missing & self._changed:  # to find that again would take as long
            for ref, data in self._in_order(address, group):
                missing.discard(ref)
                yield ref, data
        self._changed |= missing
        for ref in missing:
            raise _changed(ref)

    def _in_order(self, address: str, group: Sequence[ImageRef]) -> Iterator[tuple[ImageRef, bytes]]:
        """As `TarWalk.read`; goes on from where an earlier pass ended, if one did before these members."""
        start = min(_offset_size(ref)[0] for ref in group)
        with self._lock:
            ended = [walk for walk in self._walks if walk.address == address and walk.at <= start]
            walk = max(ended, key=lambda one: one.at, default=None)
            if walk is not None:
                self._walks.remove(walk)
        with contextlib.ExitStack() as closed:
            if walk is None:
                file = self._file(address)
                stream, _ = closed.enter_context(file.stream())
                walk = TarWalk(address, stream, goes_on=file.size is not None)
            yield from walk.read(group)
        if walk.goes_on:
            with self._lock:
                self._walks.append(walk)

    def find(self, address: str, ref: ImageRef) -> ImageRef:
        """The place of a member that is known by name only; of several with one name, the last.

        The headers of a tar are read once. Raises KeyError if there is no such member, else as `read`.
        """
        with self._lock:
            places = self._places.get(address)
            if places is None:
                places = self._places[address] = self._places_in(address)
            self._places.move_to_end(address)
            while len(self._places) > 1 and sum(map(len, self._places.values())) > MAX_NAMES:
                self._places.popitem(last=False)
        for name in _names(ref):
            for known in (name, f"./{name}"):
                if known in places:
                    return ImageRef(tar_name(known, address), places[known])
        raise KeyError("no such member")

    def _places_in(self, address: str) -> Places:
        with self._file(address).stream() as (stream, _):
            return {member.name: (member.offset, member.size) for member in members_of(stream) if member.is_file}

    def _compression(self, address: str) -> str:
        with self._sniffing:
            if address not in self._compressions:
                self._compressions[address] = compression_in(self._read(address, 0, MAGIC_BYTES))
            return self._compressions[address]

    def _file(self, address: str) -> TarFile:
        compression = self._compression(address)  # first: sizes of what cannot be read are told as missing
        fs, path = self._files.open(address)
        return TarFile(
            open=lambda: fs.open(path, "rb"),
            read=lambda start, end: self._read(address, start, end),
            size=fs.info(path)["size"],
            is_far=fs is not LOCAL_FS,
            compression=compression,
        )


def spans_of(refs: Sequence[ImageRef]) -> Iterator[list[ImageRef]]:
    """Members of one tar in groups that are worth reading with one request, in the order of the tar."""
    span: list[ImageRef] = []
    start = end = 0
    for ref in sorted(refs, key=_offset_size):
        offset, size = _offset_size(ref)
        if span and (offset - end > GAP_BYTES or offset + size - start > SPAN_BYTES):
            yield span
            span = []
        if not span:
            start = offset
        span.append(ref)
        end = offset + size
    if span:
        yield span


def read_span(read: ReadRange, address: str, span: Sequence[ImageRef]) -> Iterator[tuple[ImageRef, bytes]]:
    """Each member of a span of the plain tar at `address`, with its bytes; see `Tars.read`."""
    start = max(_offset_size(span[0])[0] - BEFORE_BYTES, 0)
    data = memoryview(read(address, start, sum(_offset_size(span[-1]))))
    for ref in span:
        offset, size = _offset_size(ref)
        if len(found := data[offset - start : offset - start + size]) < size:
            raise EOFError("the tar ends too early")
        check_header(ref, bytes(data[max(offset - start - BEFORE_BYTES, 0) : offset - start]))
        yield ref, bytes(found)


def check_header(ref: ImageRef, before: bytes) -> None:
    """Raises RowReject unless `before`, what lies before a member's data, ends with the header of this very member."""
    names, size = _names(ref), _offset_size(ref)[1]
    if not any(member.name in names and member.size == size for member in members_before(before)):
        raise _changed(ref)


def _names(ref: ImageRef) -> tuple[str, ...]:
    """The name of the member, as it is in the tar; `tar_name` may have written it in another way."""
    member = (split_tar_name(ref.name) or (ref.name, ""))[0]
    return (member, member.replace("%3A", ":")) if "%3A" in member else (member,)


def _changed(ref: ImageRef) -> RowReject:
    return RowReject(
        "image_unavailable",
        f"{shown_image(ref.name)} is no longer where its tar held it: the tar was changed; rerun to read it again",
    )


def _offset_size(ref: ImageRef) -> tuple[int, int]:
    assert ref.byte_range is not None
    return ref.byte_range
