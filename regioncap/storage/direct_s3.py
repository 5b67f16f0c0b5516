"""S3 with a third of the CPU time: its plainest requests go past most of botocore.

Of the 2.3 ms that a small GET takes with aiobotocore on a slow processor, under the interpreter's lock, 0.3 are
aiohttp's, and most of the others go to what no plain request needs: parameters, endpoint rules, events, parsing. So
only the first one for a bucket is sent in this way, which shows what such requests are like there: their address, and
how they are signed. Those that follow are signed by botocore's signer and sent over the connections of the same client.
What is not answered with success is sent once more by s3fs, which tries again and says what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.response import StreamingBody
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode_sequence
from s3fs import S3FileSystem

MAX_FAILURES = 3
"""Requests in a row that succeed only the second time, by s3fs, before no more of their kind are sent to a bucket
directly."""

PAUSE_SECONDS = 0.2
"""Before s3fs sends again what a store had no time for."""

_PLAIN = {"get_object": {"Bucket", "Key", "Range"}, "put_object": {"Bucket", "Key", "Body"}}
"""The requests that are sent directly, with the parameters that they may have."""

_LEARNED_FROM = "before-send.s3.GetObject"

_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/[0-9]+/([^/]+)/([^/]+)/aws4_request,.*")

_USUAL_HEADERS = {
    "authorization", "user-agent", "range", "x-amz-checksum-mode", "x-amz-content-sha256", "x-amz-date",
    "x-amz-security-token", "amz-sdk-invocation-id", "amz-sdk-request",
}  # fmt: skip
"""Of a request that can be sent directly; any other stands for a setting that is not known here."""


@dataclass
class Way:
    """How to reach a bucket. `base`: URL to which keys are appended. `scope`: region and service for which requests are
    signed; None where they are not. `failures`: by kind of request, see `MAX_FAILURES`."""

    client: Any
    base: str
    user_agent: str
    scope: tuple[str, str] | None
    failures: Counter[str] = field(default_factory=Counter)

    def serves(self, kind: str) -> bool:
        """Whether requests of this kind are still sent directly."""
        return self.failures[kind] < MAX_FAILURES


@dataclass
class _Learning:
    """A GET that s3fs sends; `sent`: its last attempt, as botocore made it."""

    sent: Any = None


_learning: ContextVar[_Learning | None] = ContextVar("learning", default=None)
"""What this task's GET is kept in, if it is to be learned from."""


class _NotDirectly(Exception):
    """A request was not answered with success. `counts`: whether that may lie in how it was sent."""

    def __init__(self, counts: bool = True) -> None:
        super().__init__()
        self.counts = counts


class DirectS3FileSystem(S3FileSystem):  # type: ignore[misc]
    """See the module. All methods are those of s3fs, and so are the errors."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ways: dict[str, Way | None] = {}
        """By bucket; None where requests cannot be sent directly."""

    async def _call_s3(self, method: str, *more: Any, **parameters: Any) -> Any:
        if more or not parameters.get("Key") or not parameters.keys() <= _PLAIN.get(method, set()):
            return await super()._call_s3(method, *more, **parameters)
        way = await self._way(parameters["Bucket"])
        if way is None:
            if method == "get_object" and parameters["Bucket"] not in self._ways:
                return await self._learned(parameters)
            return await super()._call_s3(method, **parameters)
        if not way.serves(method):
            return await super()._call_s3(method, **parameters)
        try:
            direct = self._get if method == "get_object" else self._put
            found = await direct(way, way.base + _quoted(parameters["Key"]), parameters)
            way.failures[method] = 0
        except _NotDirectly as failed:
            found = await super()._call_s3(method, **parameters)
            way.failures[method] += failed.counts
        return found

    async def list_text(self, bucket: str, parameters: Mapping[str, str]) -> str | None:
        """The XML of a page of a listing, by the parameters of ListObjectsV2; None where s3fs must be asked for it."""
        way = await self._way(bucket)
        if way is None or not way.serves("list"):
            return None
        try:
            response = await self._send(way, AWSRequest("GET", f"{way.base}?{percent_encode_sequence(parameters)}"))
            text: bytes = await response.content
            return text.decode()
        except (_NotDirectly, FileNotFoundError, UnicodeDecodeError):
            way.failures["list"] += 1
            return None

    def list_no_more(self, bucket: str) -> None:
        """The XML of this bucket's listings cannot be read: give none of it from now on."""
        if (way := self._ways.get(bucket)) is not None:
            way.failures["list"] = MAX_FAILURES

    # --- what is sent

    async def _get(self, way: Way, url: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Range": parameters["Range"]} if "Range" in parameters else {}
        response = await self._send(way, AWSRequest("GET", url, headers, stream_output=True))
        size, etag = response.headers.get("content-length"), response.headers.get("etag", "")
        body = StreamingBody(response.raw, size)
        return {"Body": body, "ContentLength": int(size) if size is not None else None, "ETag": etag}

    async def _put(self, way: Way, url: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        response = await self._send(way, AWSRequest("PUT", url, data=parameters["Body"]))
        return {"ETag": response.headers.get("etag", "")}

    async def _send(self, way: Way, request: AWSRequest) -> Any:
        """The response to a request. Raises FileNotFoundError where there is no such key, _NotDirectly."""
        try:
            request.headers["User-Agent"] = way.user_agent
            request.context["client_config"] = way.client.meta.config
            if way.scope is not None:
                region, service = way.scope
                S3SigV4Auth(await self._credentials(), service, region).add_auth(request)
            response = await way.client._endpoint.http_session.send(request.prepare())
            status = response.status_code
            text = b"" if status in (200, 206) else await response.content
        except Exception:  # s3fs meets it again
            raise _NotDirectly from None
        if status in (200, 206):
            return response
        if status == 404 and b"<Code>NoSuchKey</Code>" in text:
            raise FileNotFoundError("The specified key does not exist.")
        if status >= 500:
            await asyncio.sleep(PAUSE_SECONDS)
        raise _NotDirectly(counts=status < 500)

    async def _credentials(self) -> Any:
        """The keys as they are now, from where s3fs has its client take them. Raises AttributeError for none."""
        given = self.client_kwargs
        key, secret = self.key or given.get("aws_access_key_id"), self.secret or given.get("aws_secret_access_key")
        if key and secret:
            return Credentials(key, secret, self.token or given.get("aws_session_token"))
        return await (await self.session.get_credentials()).get_frozen_credentials()

    # --- how

    async def _way(self, bucket: str) -> Way | None:
        """How to send requests directly; None where that is not known, or not possible."""
        await self.set_session()
        way = self._ways.get(bucket)
        if way is not None and way.client is not await self.get_s3(bucket):
            del self._ways[bucket]  # the session is another: it is learned again
            return None
        return way

    async def _learned(self, parameters: Mapping[str, Any]) -> Any:
        """The response to a GET, by s3fs, from which it is learned how to send others directly."""
        bucket, client = parameters["Bucket"], await self.get_s3(parameters["Bucket"])
        if self.s3_additional_kwargs or self.req_kw or self.version_aware or not _is_usual(client):
            self._ways[bucket] = None
            return await super()._call_s3("get_object", **parameters)
        client.meta.events.register(_LEARNED_FROM, _keep_sent, unique_id="regioncap-direct")
        learning = _Learning()
        token = _learning.set(learning)
        missing: FileNotFoundError | None = None
        try:
            found = await super()._call_s3("get_object", **parameters)
        except FileNotFoundError as error:
            missing = error
        finally:
            _learning.reset(token)
        self._ways[bucket] = None
        with contextlib.suppress(Exception):  # then it stays so
            self._ways[bucket] = await self._way_of(learning.sent, client, parameters["Key"])
        if missing is not None:
            raise missing
        return found

    async def _way_of(self, sent: Any, client: Any, key: str) -> Way | None:
        headers = {name.lower(): _text(value) for name, value in sent.headers.items()}
        authorization = headers.get("authorization", "")
        signed = _SIGNED.fullmatch(authorization)
        if not headers.keys() <= _USUAL_HEADERS or not sent.url.endswith(f"/{_quoted(key)}"):
            return None
        if authorization and (signed is None or signed[1] != (await self._credentials()).access_key):
            return None
        scope = (signed[2], signed[3]) if signed is not None else None
        return Way(client, sent.url.removesuffix(_quoted(key)), headers.get("user-agent", ""), scope)


def _keep_sent(request: Any, **_: Any) -> None:
    """Before botocore sends a GET; once more for each attempt, of which the last one was right about the region."""
    learning = _learning.get()
    if learning is not None:
        learning.sent = request


def _is_usual(client: Any) -> bool:
    return isinstance(client._endpoint.http_session, AIOHTTPSession)


def _quoted(key: str) -> str:
    """A key as botocore writes it in URLs."""
    return quote(key, safe="/~")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
