"""A web server of images that answers as its path says: `/404`, `/cut`, `/loop`, `/endless`, `/to?URL`, …"""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

HUGE = 10_000_000_000
BOMB_BYTES = 400_000_000
BOMB = gzip.compress(bytes(BOMB_BYTES), 1)
PIECE = bytes(1 << 16)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.closed = threading.Event()
        self.hanging = threading.Event()
        self.paths: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None: ...


class _Answer(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.paths.append(path)
        match path.strip("/"):
            case "photo":
                self._send(200, {"Content-Length": "5"}, b"photo")
            case "cut":
                self._send(200, {"Content-Length": "1000"}, b"a few bytes")
            case "encoded":
                self._send(200, {"Content-Length": "5", "Content-Encoding": "gzip"}, b"no gz")
            case "loop":
                self._send(302, {"Location": "/loop", "Content-Length": "0"})
            case "nowhere":
                self._send(302, {"Location": "http://[x/", "Content-Length": "0"})
            case "to":
                self._send(302, {"Location": unquote(query), "Content-Length": "0"})
            case "closed":
                self.close_connection = True
            case "huge":
                self._send(200, {"Content-Length": str(HUGE)}, PIECE)
                self._stream()
            case "endless":
                self._send(200, {})
                self._stream()
            case "bomb":
                self._send(200, {"Content-Length": str(len(BOMB)), "Content-Encoding": "gzip"}, BOMB)
            case "drip":
                self._send(200, {"Content-Length": "1000000"})
                self._stream(b"x", 0.02)
            case "silent":
                self.server.hanging.set()
                self.server.closed.wait()
            case status:
                self._send(int(status), {"Content-Length": "0"})

    do_HEAD = do_GET

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")
        self.close_connection = True

    def _stream(self, piece: bytes = PIECE, every: float = 0) -> None:
        """The same piece again and again, until the client goes or the server is closed."""
        with contextlib.suppress(OSError):
            while self.command == "GET" and not self.server.closed.wait(every):
                self.wfile.write(piece)
                self.server.hanging.set()

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def running_server() -> Iterator[_Server]:
    """A server, on a free port of 127.0.0.1, that runs during the block."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def image_server() -> Iterator[str]:
    """The URL of such a server."""
    with running_server() as server:
        yield f"http://127.0.0.1:{server.server_port}"
