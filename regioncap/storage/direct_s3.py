"""S3 with a third of the CPU time: its plainest requests go past most of botocore.

Of the 2.3 ms that a small GET takes with aiobotocore on a slow processor, under the interpreter's lock, 0.3 are
aiohttp's, and most of the others go to what no plain request needs: parameters, endpoint rules, events, parsing. So
only the first one for a bucket is sent in this way, which shows what such requests are like there: their address, and
how they are signed. Those that follow are signed by botocore's signer and sent over the connections of the same client.
What is not answered with success is sent once more by s3fs, which tries again and says what is wrong.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.response import AioStreamingBody
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode_sequence
from s3fs import S3FileSystem

MAX_FAILURES = 3
"""Requests in a row without success before no more of their method are sent to a bucket directly."""

_PLAIN = {"get_object": {"Bucket", "Key", "Range"}, "put_object": {"Bucket", "Key", "Body"}}
"""The requests that are sent directly, with the parameters that they may have."""

_LEARNED_FROM = "before-send.s3.GetObject"

_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/[0-9]+/([^/]+)/([^/]+)/aws4_request,.*")

_USUAL_HEADERS = {
    "authorization", "user-agent", "range", "x-amz-checksum-mode", "x-amz-content-sha256", "x-amz-date",
    "x-amz-security-token", "amz-sdk-invocation-id", "amz-sdk-request",
}  # fmt: skip
"""Of a request that can be sent directly; any other stands for a setting that is not known here."""

_asked: ContextVar[tuple[str, str] | None] = ContextVar("asked", default=None)
"""Bucket and key of what this task asks for by s3fs, to learn from."""


@dataclass
class Way:
    """How to reach a bucket. `base`: URL to which keys are appended. `scope`: region and service for which requests are
    signed; None where they are not. `failures`: by method, see `MAX_FAILURES`."""

    client: Any
    base: str
    user_agent: str
    scope: tuple[str, str] | None
    failures: Counter[str] = field(default_factory=Counter)


class DirectS3FileSystem(S3FileSystem):  # type: ignore[misc]
    """See the module. All methods are those of s3fs, and so are the errors."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ways: dict[str, Way | None] = {}
        """By bucket; None where requests cannot be sent directly."""

    async def _call_s3(self, method: str, *more: Any, **parameters: Any) -> Any:
        usual = not more and parameters.keys() <= _PLAIN.get(method, set())
        if usual and (way := await self._way(parameters["Bucket"], parameters["Key"])) is not None:
            direct = self._get if method == "get_object" else self._put
            found = await direct(way, way.base + _quoted(parameters["Key"]), parameters)
            if found is not None:
                return found
        return await super()._call_s3(method, *more, **parameters)

    async def _get(self, way: Way, url: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        headers = {"Range": parameters["Range"]} if "Range" in parameters else {}
        response = await self._send(way, AWSRequest("GET", url, headers, stream_output=True))
        if response is None:
            return None
        size, etag = response.headers.get("content-length"), response.headers.get("etag", "")
        body = AioStreamingBody(response.raw, size)
        return {"Body": body, "ContentLength": int(size) if size is not None else None, "ETag": etag}

    async def _put(self, way: Way, url: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        response = await self._send(way, AWSRequest("PUT", url, data=parameters["Body"]))
        return {"ETag": response.headers.get("etag", "")} if response is not None else None

    async def list_text(self, bucket: str, parameters: Mapping[str, str]) -> str | None:
        """The XML of a page of a listing, by the parameters of ListObjectsV2; None where s3fs must be asked for it."""
        way = await self._way(bucket)
        if way is None:
            return None
        response = await self._send(way, AWSRequest("GET", f"{way.base}?{percent_encode_sequence(parameters)}"))
        return (await response.content).decode() if response is not None else None

    # --- how

    async def _way(self, bucket: str, key: str = "") -> Way | None:
        """How to send a request directly; None where that is not known, or not possible. `key`: of a request that s3fs
        sends next in this case, and from which it may be learned."""
        await self.set_session()
        client = await self.get_s3(bucket)
        way = self._ways.get(bucket)
        if way is not None and way.client is client:
            return way
        if key and (bucket not in self._ways or way is not None) and self._is_usual(client):
            client.meta.events.register(_LEARNED_FROM, self._learn, unique_id="regioncap-direct")
            _asked.set((bucket, key))
        return None

    def _is_usual(self, client: Any) -> bool:
        settings = self.s3_additional_kwargs or self.req_kw or self.version_aware
        return not settings and isinstance(client._endpoint.http_session, AIOHTTPSession)

    async def _learn(self, request: Any, **_: Any) -> None:
        """Before s3fs sends a GET: keep what direct requests need of it."""
        asked = _asked.get()
        if asked is None:
            return
        _asked.set(None)
        bucket, key = asked
        self._ways[bucket] = None
        with contextlib.suppress(Exception):  # then it stays so
            self._ways[bucket] = await self._way_of(request, bucket, key)

    async def _way_of(self, request: Any, bucket: str, key: str) -> Way | None:
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        authorization = headers.get("authorization", "")
        signed = _SIGNED.fullmatch(authorization)
        if not headers.keys() <= _USUAL_HEADERS or not request.url.endswith(f"/{_quoted(key)}"):
            return None
        if authorization and (signed is None or signed[1] != (await self._credentials()).access_key):
            return None
        return Way(
            await self.get_s3(bucket), request.url.removesuffix(_quoted(key)), headers.get("user-agent", ""),
            (signed[2], signed[3]) if signed is not None else None,
        )  # fmt: skip

    async def _credentials(self) -> Any:
        """The keys as they are now, from where s3fs has its client take them. Raises AttributeError for none."""
        given = self.client_kwargs
        key, secret = self.key or given.get("aws_access_key_id"), self.secret or given.get("aws_secret_access_key")
        if key and secret:
            return Credentials(key, secret, self.token or given.get("aws_session_token"))
        return await (await self.session.get_credentials()).get_frozen_credentials()

    async def _send(self, way: Way, request: AWSRequest) -> Any:
        """The response to a request; None where it is no success. Raises FileNotFoundError where there is no such
        key."""
        if way.failures[request.method] >= MAX_FAILURES:
            return None
        try:
            request.headers["User-Agent"] = way.user_agent
            request.context["client_config"] = way.client.meta.config
            if way.scope is not None:
                region, service = way.scope
                S3SigV4Auth(await self._credentials(), service, region).add_auth(request)
            response = await way.client._endpoint.http_session.send(request.prepare())
            if response.status_code in (200, 206):
                way.failures[request.method] = 0
                return response
            text = await response.content
            missing = response.status_code == 404 and b"<Code>NoSuchKey</Code>" in text
        except Exception:  # s3fs meets it again
            missing = False
        if missing:
            raise FileNotFoundError("The specified key does not exist.")
        way.failures[request.method] += 1
        return None


def _quoted(key: str) -> str:
    """A key as botocore writes it in URLs."""
    return quote(key, safe="/~")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
