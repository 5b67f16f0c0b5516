"""The body of a form with a file in it, read as it comes: the file goes on to its writer, and is never held whole."""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_HEADERS = 16_384
"""Bytes that the headers of a part may have."""

MAX_FIELD = 65_536
"""Bytes that a field without a file may have."""


class BadForm(ValueError):
    """The body is no form as its Content-Type says."""


class FormReader:
    """Takes the body of a `multipart/form-data` request in pieces. `content_type`: its header. `write`: given the next
    piece of the file.

    `fields`: the texts by name; `filename`: of the file, None if there is none. Raises BadForm.
    """

    def __init__(self, content_type: str, write: Callable[[bytes], None]) -> None:
        boundary = re.search(r'boundary="?([^";]+)"?', content_type)
        if not content_type.startswith("multipart/form-data") or boundary is None:
            raise BadForm("expected multipart/form-data with a boundary")
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._write = write
        self._end = b"\r\n--" + boundary.group(1).encode()
        self._rest = b"\r\n"  # Before the first boundary stands no line break; with this one all are alike.
        self._take: Callable[[bytes], None] = lambda piece: None
        self._step: Callable[[], bool] | None = self._body

    def feed(self, piece: bytes) -> None:
        """The next piece of the body."""
        self._rest += piece
        while self._step is not None and self._step():
            pass
        if self._step is None:
            self._rest = b""

    def close(self) -> None:
        """Raises BadForm if the end of the form did not come."""
        if self._step is not None:
            raise BadForm("the form has no end")

    def _body(self) -> bool:
        at = self._rest.find(self._end)
        if at < 0:
            # The end may have begun in the last bytes.
            known = max(0, len(self._rest) - len(self._end) + 1)
            self._take(self._rest[:known])
            self._rest = self._rest[known:]
            return False
        self._take(self._rest[:at])
        self._rest = self._rest[at + len(self._end) :]
        self._step = self._after
        return True

    def _after(self) -> bool:
        if len(self._rest) < 2:
            return False
        self._step = None if self._rest.startswith(b"--") else self._headers
        return self._step is not None

    def _headers(self) -> bool:
        headers, end, body = self._rest.partition(b"\r\n\r\n")
        if not end:
            if len(self._rest) > MAX_HEADERS:
                raise BadForm("the headers of a part are too long")
            return False
        text = headers.decode("utf-8", "replace")
        name = re.search(r'\bname="([^"]*)"', text)
        filename = re.search(r'\bfilename="([^"]*)"', text)
        if name is None:
            raise BadForm("a part has no name")
        if filename is not None and name.group(1) == "file":
            self.filename = filename.group(1)
            self._take = self._write
        else:
            self._take = self._field(name.group(1))
        self._rest = body
        self._step = self._body
        return True

    def _field(self, name: str) -> Callable[[bytes], None]:
        self.fields[name] = ""

        def take(piece: bytes) -> None:
            if len(self.fields[name]) + len(piece) > MAX_FIELD:
                raise BadForm(f"the field {name} is too long")
            self.fields[name] += piece.decode("utf-8", "replace")

        return take
