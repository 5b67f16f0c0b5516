"""An object store that takes its time: a stand-in for S3, in memory, with a set latency, which counts its requests.

    .venv/bin/python benchmarks/s3_server.py [--latency 0.02] [--at-once 200]

Prints its URL and serves until it is ended. Every request takes `latency` seconds, `at-once` of them at a time, as a
store in the same region does; moto's server would itself be what is measured. It speaks as much of S3 as s3fs does here
and answers 501 to the rest: objects (also conditional and in several parts), ranges, listings by prefix, delimiter and
start. Signatures are not checked. `GET /` gives how many requests came since it was last asked, by kind and folder;
`?latency=SECONDS` sets another latency.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import datetime as dt
import hashlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import format_datetime
from typing import NoReturn
from urllib.parse import quote
from xml.sax.saxutils import escape

from aiohttp import web

XML = '<?xml version="1.0" encoding="UTF-8"?>'
MAX_KEYS = 1000
"""Of one page of a listing, as S3 has it."""


class Refused(Exception):
    """An error response: `status`, and S3's code for it."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Stored:
    """An object. `etag`: with its quotes."""

    data: bytes
    etag: str
    changed: dt.datetime


class Bucket:
    """Objects by key, and the keys in order."""

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self.keys: list[str] = []

    def put(self, key: str, data: bytes, *, only_new: bool = False) -> Stored:
        """Store an object. Raises Refused where there is one and that is not wanted."""
        if key not in self.objects:
            bisect.insort(self.keys, key)
        elif only_new:
            raise Refused(412, "PreconditionFailed")
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        found = self.objects[key] = Stored(data, etag, dt.datetime.now(dt.UTC))
        return found

    def get(self, key: str) -> Stored:
        """Raises Refused where there is none."""
        if key not in self.objects:
            raise Refused(404, "NoSuchKey")
        return self.objects[key]

    def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        if self.objects.pop(key, None) is not None:
            del self.keys[bisect.bisect_left(self.keys, key)]

    def listed(self, prefix: str, delimiter: str, after: str) -> Iterator[str]:
        """Keys with this prefix that sort after `after`; those with the delimiter behind it as their common prefix,
        once, which ends with it."""
        at = max(bisect.bisect_left(self.keys, prefix), bisect.bisect_right(self.keys, after))
        while at < len(self.keys) and self.keys[at].startswith(prefix):
            key = self.keys[at]
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if not found:
                yield key
                at += 1
                continue
            common = prefix + head + delimiter
            at = bisect.bisect_left(self.keys, common[:-1] + chr(ord(common[-1]) + 1), at)
            if common > after:
                yield common


class Server:
    """Answers S3 requests. `latency`: seconds of each. `at_once`: how many are served at a time, others wait."""

    def __init__(self, latency: float, at_once: int) -> None:
        self._latency = latency
        self._free = asyncio.Semaphore(at_once)
        self._buckets: dict[str, Bucket] = {}
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        bucket, _, key = request.path.lstrip("/").partition("/")
        if not bucket:
            return self._counted(request)
        body = await request.content.read()  # of any size
        async with self._free:
            await asyncio.sleep(self._latency)
        kind = _kind(request, key)
        self._counts[kind][_folder(request.query.get("prefix", key))] += 1
        try:
            return self._answer(kind, request, bucket, key, body)
        except Refused as refused:
            condition = "<Condition>If-None-Match</Condition>" if refused.status == 412 else ""
            text = f"{XML}<Error><Code>{refused.code}</Code><Message>{refused.code}</Message>{condition}</Error>"
            return web.Response(status=refused.status, text=text, content_type="application/xml")

    def _counted(self, request: web.Request) -> web.StreamResponse:
        counts, self._counts = self._counts, defaultdict(Counter)
        self._latency = float(request.query.get("latency", self._latency))
        return web.json_response(counts)

    def _answer(self, kind: str, request: web.Request, name: str, key: str, body: bytes) -> web.Response:
        if kind == "create bucket":
            self._buckets[name] = Bucket()
            return web.Response()
        if name not in self._buckets:
            raise Refused(404, "NoSuchBucket")
        bucket, upload = self._buckets[name], request.query.get("uploadId", "")
        match kind:
            case "put":
                return web.Response(headers={"ETag": bucket.put(key, body, only_new=_only_new(request)).etag})
            case "get" | "head":
                return _object(bucket.get(key), request)
            case "delete":
                bucket.delete(key)
                return web.Response(status=204)
            case "list":
                return _listing(name, bucket, request)
            case "head bucket":
                return web.Response()
            case "list uploads":
                return _xml("<ListMultipartUploadsResult/>")
            case "begin upload":
                self._uploads[new := uuid.uuid4().hex] = {}
                return _xml(f"<R><UploadId>{new}</UploadId></R>")
            case "put part":
                self._uploads[upload][int(request.query["partNumber"])] = body
                return web.Response(headers={"ETag": f'"{upload}"'})
            case "complete upload":
                parts = self._uploads.pop(upload)
                stored = bucket.put(key, b"".join(parts[number] for number in sorted(parts)))
                return _xml(f"<R><ETag>{escape(stored.etag)}</ETag></R>")
        return _unknown(request)


def _kind(request: web.Request, key: str) -> str:
    """What a request is for, in words."""
    query, method = request.query, request.method
    if request.headers.get("x-amz-copy-source"):
        return "copy"
    if "uploadId" in query:
        return {"PUT": "put part", "POST": "complete upload"}.get(method, "")
    if "uploads" in query:
        return {"GET": "list uploads", "POST": "begin upload"}.get(method, "")
    if key:
        return {"GET": "get", "HEAD": "head", "PUT": "put", "DELETE": "delete"}.get(method, "")
    if query.get("list-type") == "2":
        return "list"
    return {"PUT": "create bucket", "HEAD": "head bucket"}.get(method, "")


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def _only_new(request: web.Request) -> bool:
    return request.headers.get("If-None-Match") == "*"


def _unknown(request: web.Request) -> NoReturn:
    raise Refused(501, f"NotImplemented: {request.method} {request.path_qs}")


def _xml(text: str) -> web.Response:
    return web.Response(text=XML + text, content_type="application/xml")


def _object(found: Stored, request: web.Request) -> web.Response:
    """Response to a GET or HEAD, of a range too."""
    headers = {"ETag": found.etag, "Last-Modified": format_datetime(found.changed, usegmt=True)}
    if request.method == "HEAD":
        return web.Response(headers={**headers, "Content-Length": str(len(found.data))})
    wanted = request.http_range
    if wanted.start is None:
        return web.Response(body=found.data, headers=headers)
    start, end, _ = wanted.indices(len(found.data))
    if start >= len(found.data):
        raise Refused(416, "InvalidRange")
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(found.data)}"
    return web.Response(status=206, body=found.data[start:end], headers=headers)


def _listing(name: str, bucket: Bucket, request: web.Request) -> web.Response:
    """Response to ListObjectsV2; names are URL-encoded, as botocore asks for."""
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token") or query.get("start-after", "")
    most = min(MAX_KEYS, int(query.get("max-keys", MAX_KEYS)))
    found = bucket.listed(prefix, delimiter, after)
    page = [key for key, _ in zip(found, range(most), strict=False)]
    more = next(bucket.listed(prefix, delimiter, page[-1]), None) if page else None
    items = []
    for key in page:
        if delimiter and key.endswith(delimiter) and key != prefix:
            items.append(f"<CommonPrefixes><Prefix>{quote(key)}</Prefix></CommonPrefixes>")
            continue
        stored = bucket.objects[key]
        items.append(
            f"<Contents><Key>{quote(key)}</Key><LastModified>{stored.changed.isoformat(timespec='milliseconds')[:-6]}Z"
            f"</LastModified><ETag>{escape(stored.etag)}</ETag><Size>{len(stored.data)}</Size></Contents>"
        )
    token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
    return _xml(
        f"<ListBucketResult><Name>{name}</Name><Prefix>{quote(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
        f"<EncodingType>url</EncodingType><IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}"
        f"{''.join(items)}</ListBucketResult>"
    )


async def serve(latency: float, at_once: int) -> None:
    """Serve on a free port of this machine."""
    app = web.Application()
    app.router.add_route("*", "/{address:.*}", Server(latency, at_once).handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds of each request")
    parser.add_argument("--at-once", type=int, default=200, help="requests served at a time")
    args = parser.parse_args()
    asyncio.run(serve(args.latency, args.at_once))
