"""HTTP with one model server: JSON out, a response of limited size back; files of any size up and down."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from regioncap.captioners.access import Access
from regioncap.captioners.network_errors import is_unreachable, needs_tls, network_error, problem_on_the_way
from regioncap.captioners.proxies import environment_proxies, proxy_of
from regioncap.captioners.server_errors import HttpResponse, TryAgain
from regioncap.captioners.tls import speaks_tls, tls_context
from regioncap.errors import CaptionerError, ConfigError
from regioncap.storage.storage_errors import translated

KEEPALIVE_SECONDS = 4.0
"""Servers on uvicorn, such as vLLM, close idle connections after 5 s."""

WRITTEN_AT_ONCE_BYTES = 2**18
"""Of a file that is downloaded."""

MAX_RESPONSE_BYTES = 16 * 2**20
"""Of a body, decompressed: a thousand times what the longest answers have."""


def open_client(ca_file: str | None = None) -> aiohttp.ClientSession:
    """The connections that all `Transport`s of a session share; the caller closes it.

    `ca_file`: see `tls_context`; None for what this machine trusts. Raises CaptionerError when it has no certificates.
    """
    try:
        trusted = True if ca_file is None else tls_context(ca_file)
    except ConfigError as error:  # checked before the run, but this may be another machine of a cluster
        raise CaptionerError(str(error)) from None
    # aiohttp, not httpx: its pool scans every open connection for every request, which takes a whole core at a few
    # hundred in flight.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS, ssl=trusted)
    no_limit = aiohttp.ClientTimeout(total=None)  # ours are for the whole request
    return aiohttp.ClientSession(connector=connector, timeout=no_limit)


class Transport:
    """Sends requests to one server. All methods run on the session's event loop."""

    def __init__(self, client: aiohttp.ClientSession, access: Access | None = None) -> None:
        access = access or Access()
        self._client = client
        self._headers = {"Content-Type": "application/json", **access.headers}
        self._query = dict(access.query)
        self._proxies = environment_proxies()
        self._answered = False
        self.secrets = access.secrets
        """What must be masked in all that comes back."""

    def sends(self, parameter: str) -> bool:
        """Whether requests have this query parameter."""
        return parameter in self._query

    async def post(self, url: str, body: bytes, timeout: float) -> HttpResponse:
        """The server's response to JSON, of any status but a redirect, within `timeout` seconds.

        Raises TryAgain when none came, or none of use; EndpointFailed when none will come as things are set.
        """
        try:
            response = await self._fetch("POST", url, timeout, body)
        except TimeoutError:
            raise TryAgain(f"no answer within request_timeout={timeout:g} s", timed_out=True) from None
        problem = problem_on_the_way(response, url, self.secrets)
        if problem is not None:
            raise problem
        return response

    async def get(self, url: str, timeout: float) -> HttpResponse:
        """What the server says about itself, of any status, within `timeout` seconds.

        Raises TryAgain when nothing came; EndpointFailed as `post` does.
        """
        try:
            return await self._fetch("GET", url, timeout)
        except TimeoutError:
            raise TryAgain(f"no answer within {timeout:g} s", timed_out=True) from None

    async def call(
        self, method: str, url: str, timeout: float, body: bytes | None = None, query: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """As `get`, by any method, with further parameters in the `query`."""
        try:
            return await self._fetch(method, url, timeout, body, query=query)
        except TimeoutError:
            raise TryAgain(f"no answer within {timeout:g} s", timed_out=True) from None

    async def upload(self, url: str, path: Path, name: str, fields: Mapping[str, str], timeout: float) -> HttpResponse:
        """As `get`, for a form with `fields` and the file at `path`, called `name`; it is read as it is sent."""
        with path.open("rb") as file:
            form = aiohttp.FormData()
            for field, value in fields.items():
                form.add_field(field, value)
            form.add_field("file", file, filename=name, content_type="application/jsonl")
            try:
                return await self._fetch("POST", url, timeout, form)
            except TimeoutError:
                raise TryAgain(f"not taken within {timeout:g} s", timed_out=True) from None

    async def download(self, url: str, path: Path, timeout: float) -> HttpResponse:
        """As `get`; the body of a success is written to `path` as it comes, and is not in the response."""
        try:
            return await self._fetch("GET", url, timeout, into=path)
        except TimeoutError:
            raise TryAgain(f"not there within {timeout:g} s", timed_out=True) from None

    async def _fetch(
        self,
        method: str,
        url: str,
        timeout: float,
        body: bytes | aiohttp.FormData | None = None,
        *,
        query: Mapping[str, str] | None = None,
        into: Path | None = None,
    ) -> HttpResponse:
        proxy = proxy_of(url, self._proxies) if self._proxies else None
        # A form says itself of what type it is.
        left_out = "Content-Type" if isinstance(body, aiohttp.FormData) else ""
        headers: dict[str, Any] = {name: value for name, value in self._headers.items() if name != left_out}
        try:
            async with (
                asyncio.timeout(timeout),
                self._client.request(
                    method,
                    url,
                    params={**self._query, **(query or {})},
                    data=body,
                    headers=headers,
                    proxy=proxy,
                    allow_redirects=False,
                ) as response,
            ):
                self._answered = True
                if into is not None and response.status == 200:
                    await _write_to(into, response)
                    return HttpResponse(response.status, b"", response.headers)
                return HttpResponse(response.status, await _content_of(response), response.headers)
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            problem = network_error(error, url, self.secrets)
            if not (self._answered or proxy or is_unreachable(problem)) and await speaks_tls(url):
                problem = needs_tls(url)
            raise problem from None


async def _write_to(path: Path, response: aiohttp.ClientResponse) -> None:
    """Write the decompressed body to `path`, without ever holding more than a chunk of it. Raises StorageError when the
    disk is full."""
    with translated(str(path), "write"):
        file = path.open("wb", buffering=0)
    with file:
        async for chunk in response.content.iter_chunked(WRITTEN_AT_ONCE_BYTES):
            with translated(str(path), "write"):  # else it would be taken for trouble of the network
                written = 0
                while written < len(chunk):
                    written += file.write(chunk[written:])


async def _content_of(response: aiohttp.ClientResponse) -> bytes:
    """The decompressed body. Raises TryAgain when it is longer than any answer; the rest is not read."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            response.close()
            size = f"{MAX_RESPONSE_BYTES >> 20} MiB"
            raise TryAgain(f"the response has more than {size}; the rest was not read", senseless=True)
    return bytes(content)
