"""A web server of images that answers as its path says: `/404`, `/cut`, `/loop`, …"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path.partition("?")[0].strip("/"):
            case "cut":
                self._send(200, {"Content-Length": "1000"}, b"a few bytes")
            case "encoded":
                self._send(200, {"Content-Length": "5", "Content-Encoding": "gzip"}, b"no gz")
            case "loop":
                self._send(302, {"Location": "/loop", "Content-Length": "0"})
            case "nowhere":
                self._send(302, {"Location": "http://[x/", "Content-Length": "0"})
            case "closed":
                self.close_connection = True
            case status:
                self._send(int(status), {"Content-Length": "0"})

    do_HEAD = do_GET

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def image_server() -> Iterator[str]:
    """The URL of a server, on a free port, that runs during the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
