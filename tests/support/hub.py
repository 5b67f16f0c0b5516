"""A server that speaks what `huggingface_hub` asks of the Hugging Face Hub to read the files of a data set."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0" * 40


def _entry(name: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    lfs = {"oid": digest, "size": len(data), "pointerSize": 130}
    return {"type": "file", "oid": digest[:40], "size": len(data), "path": name, "lfs": lfs}


class _Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, repository: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repository, self.files = repository, files
        self.seen: list[tuple[str, str]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        self.server.seen.append((f"{self.command} {path}", self.headers.get("Range", "")))
        repository, files = self.server.repository, self.server.files
        if path.startswith(f"/api/datasets/{repository}/tree/"):
            below = path.split("/tree/")[1].partition("/")[2]
            self._json(_listed(below and f"{below}/", files, "recursive=true" in self.path.lower()))
        elif path.startswith(f"/api/datasets/{repository}/paths-info/"):
            paths = json.loads(body)["paths"]
            self._json([_entry(name, files[name]) for name in paths if name in files])
        elif re.fullmatch(f"/api/datasets/{repository}(/revision/.*)?", path):
            self._json({"id": repository, "sha": COMMIT, "private": False, "siblings": [], "tags": [], "downloads": 0})
        elif path.startswith(f"/datasets/{repository}/resolve/"):
            self._file(path.split("/resolve/")[1].partition("/")[2])
        else:
            self._send(404, b"{}", {})

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _file(self, name: str) -> None:
        data = self.server.files.get(name)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        digest = hashlib.sha256(data).hexdigest()
        about = {
            "ETag": f'"{digest}"',
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": str(len(data)),
            "Accept-Ranges": "bytes",
        }
        if asked:
            start, end = int(asked[1]), min(int(asked[2]) + 1, len(data))
            about["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            self._send(206, data[start:end], about)
        else:
            self._send(200, data, about)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _listed(folder: str, files: dict[str, bytes], recursive: bool) -> list[dict[str, Any]]:
    below = {name: data for name, data in files.items() if name.startswith(folder)}
    found = [_entry(name, data) for name, data in below.items() if recursive or "/" not in name[len(folder) :]]
    inner = {folder + name[len(folder) :].partition("/")[0] for name in below if "/" in name[len(folder) :]}
    return [{"type": "directory", "oid": "1" * 40, "path": path, "size": 0} for path in sorted(inner)] + found


@contextmanager
def hub_of(repository: str, files: dict[str, bytes]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Serve a data set: gives the server's URL, and the (method and path, range) of its requests so far."""
    server = _Hub(repository, files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
