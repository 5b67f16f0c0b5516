"""Images inside tars, read by byte range: one request for many neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from regioncap.image_ref import ImageRef

ReadRange = Callable[[str, int, int], bytes]
"""The bytes of the file at a path or URL, from an offset up to another."""

SPAN_BYTES = 8_000_000
"""About as much is read with one request: so much that its latency hardly counts, so little that it fits in memory."""

GAP_BYTES = 64_000
"""Neighbours closer than this are read together: headers, captions and other small members lie between them."""


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
    """Each member of a span of the tar at `address`, with its bytes. Raises what `read` raises, and EOFError for a tar
    that ends too early."""
    start = _offset_size(span[0])[0]
    data = memoryview(read(address, start, sum(_offset_size(span[-1]))))
    for ref in span:
        offset, size = _offset_size(ref)
        if len(found := data[offset - start : offset - start + size]) < size:
            raise EOFError("the tar ends too early")
        yield ref, bytes(found)


def _offset_size(ref: ImageRef) -> tuple[int, int]:
    assert ref.byte_range is not None
    return ref.byte_range
