"""HTTP with one model server: JSON out, a response back, and errors of the network in words."""

from __future__ import annotations

import asyncio
import os
import urllib.request

import aiohttp

from regioncap.captioners.server_errors import HttpResponse, TryAgain

KEEPALIVE_SECONDS = 4.0
"""Servers on uvicorn, such as vLLM, close idle connections after 5 s."""


def open_client() -> aiohttp.ClientSession:
    """The connections that all `Transport`s of a session share; the caller closes it."""
    # aiohttp, not httpx: its pool scans every open connection for every request, which takes a whole core at a few
    # hundred in flight.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS)
    # Only with a proxy in the environment: else aiohttp would look for one, and for a .netrc, with every request.
    proxied = bool(urllib.request.getproxies())
    no_limit = aiohttp.ClientTimeout(total=None)  # ours are for the whole request
    return aiohttp.ClientSession(connector=connector, timeout=no_limit, trust_env=proxied)


class Transport:
    """Sends requests to one server. All methods run on the session's event loop.

    `key`: sent as a bearer token; None sends none.
    """

    def __init__(self, client: aiohttp.ClientSession, key: str | None = None) -> None:
        self._client = client
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self.secrets = (key,) if key else ()
        """What must be masked in all that comes back."""

    async def post(self, url: str, body: bytes, timeout: float) -> HttpResponse:
        """The response to JSON, of any status, within `timeout` seconds. Raises TryAgain when none came."""
        try:
            return await self._fetch("POST", url, timeout, body)
        except TimeoutError:
            raise TryAgain(f"no answer within request_timeout={timeout:g} s", timed_out=True) from None
        except aiohttp.ClientConnectorError as error:
            raise _unreachable(error) from None
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgain(f"the connection broke: {_words(error)}") from None

    async def get(self, url: str, timeout: float) -> HttpResponse:
        """What the server says about itself, within `timeout` seconds. Raises TryAgain, `unreachable`, when nothing
        came."""
        try:
            return await self._fetch("GET", url, timeout)
        except TimeoutError:
            raise TryAgain(f"no answer within {timeout:g} s", unreachable=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error) from None

    async def _fetch(self, method: str, url: str, timeout: float, body: bytes | None = None) -> HttpResponse:
        async with (
            asyncio.timeout(timeout),
            self._client.request(method, url, data=body, headers=self._headers, allow_redirects=False) as response,
        ):
            return HttpResponse(response.status, await response.read(), response.headers)


def _unreachable(error: Exception) -> TryAgain:
    return TryAgain(f"cannot connect: {_words(error)}", unreachable=True)


def _words(error: Exception) -> str:
    """An error of the network in a few words: `Connection refused`."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    return str(cause) or type(error).__name__
