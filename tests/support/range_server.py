"""A web server of one file, below a signed URL, that serves ranges of it or does not."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIGNATURE = "X-Amz-Signature=signed"


@contextlib.contextmanager
def range_server(data: bytes, *, ranges: bool = True) -> Iterator[str]:
    """The URL of a server, on a free port, that has `data` at every path with `SIGNATURE` as its query."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[2] != SIGNATURE:
                self._send(403, b"", {})
                return
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if not found or not ranges:
                self._send(200, data, {"ETag": '"1"'})
                return
            start, end = int(found[1]), min(int(found[2]) + 1, len(data))
            self._send(206, data[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}", "ETag": '"1"'})

        do_HEAD = do_GET

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
