"""Forms with a file, read in pieces of any size."""

from __future__ import annotations

import pytest

from regioncap.captioners.fake.multipart import MAX_FIELD, BadForm, FormReader

TYPE = "multipart/form-data; boundary=edge"
HEAD = b'--edge\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--edge\r\n'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\nContent-Type: text/plain\r\n\r\n'


def read(body: bytes, size: int, content_type: str = TYPE) -> tuple[FormReader, bytes]:
    pieces: list[bytes] = []
    form = FormReader(content_type, pieces.append)
    for begin in range(0, len(body), size):
        form.feed(body[begin : begin + size])
    form.close()
    return form, b"".join(pieces)


@pytest.mark.parametrize("content", [b"", b"a\r\n--edg\r\n--\n", b"\r\n\r\n", b"x" * 1000])
@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_the_file_is_what_was_sent(content: bytes, size: int) -> None:
    form, found = read(HEAD + FILE + content + b"\r\n--edge--\r\n", size)
    assert (form.fields, form.filename, found) == ({"purpose": "batch"}, "a.jsonl", content)


def test_a_quoted_boundary_is_one_too() -> None:
    assert read(HEAD + FILE + b"a\r\n--edge--\r\n", 9, 'multipart/form-data; boundary="edge"')[1] == b"a"


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"", "application/json", "expected multipart/form-data"),
        (b"", "multipart/form-data", "with a boundary"),
        (HEAD + FILE + b"half", TYPE, "no end"),
        (b"--edge\r\nContent-Type: text/plain\r\n\r\n", TYPE, "no name"),
        (b"--edge\r\n" + b"a" * 20_000, TYPE, "headers of a part are too long"),
        (HEAD.replace(b"batch", b"b" * (MAX_FIELD + 1)), TYPE, "purpose is too long"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, content_type: str, words: str) -> None:
    with pytest.raises(BadForm, match=words):
        read(body, 5000, content_type)
