"""HTTP for images that rows name: fsspec's filesystem over sessions that connect to allowed addresses only.

Checked where a connection is made, so that neither a redirect nor a name whose address changes leads elsewhere. Proxies
and all else that fsspec's settings for `http` say (`client_kwargs`) hold as ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from fsspec.implementations.http import HTTPFileSystem

from regioncap.storage.addresses import literal_address, reach_of
from regioncap.storage.allowed_images import AllowedImages, host_of

Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


class GuardedHttp:
    """The filesystem for each web address: what begins at a public host never ends at a private one.

    `options`: fsspec's for `http`. `seconds`: the limit of one request.
    """

    def __init__(self, allowed: AllowedImages, options: dict[str, Any], seconds: float) -> None:
        self._allowed = allowed
        self._seconds = seconds
        self._public = HTTPFileSystem(get_client=self._session(public_only=True), skip_instance_cache=True, **options)
        self._any = HTTPFileSystem(get_client=self._session(public_only=False), skip_instance_cache=True, **options)
        self._is_public: dict[str, bool] = {}
        """By host, as found when it was first met. No more depends on it than where redirects may lead."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that all requests run on."""
        loop: asyncio.AbstractEventLoop = self._any.loop
        return loop

    async def filesystem(self, url: str) -> HTTPFileSystem:
        """The filesystem to read `url` with; runs on `loop`."""
        if self._allowed.rules.strict:
            return self._public
        host = host_of(url)
        if host not in self._is_public:
            self._is_public[host] = await self._leads_to_public(host)
        return self._public if self._is_public[host] else self._any

    async def _leads_to_public(self, host: str) -> bool:
        address = literal_address(host)
        if address is not None:
            return reach_of(address) == "public"
        resolver = aiohttp.DefaultResolver()
        try:
            found = await resolver.resolve(host, 0, socket.AF_UNSPEC)
        except OSError:
            return True  # not known here, but maybe to a proxy
        finally:
            await resolver.close()
        addresses = [literal_address(one["host"]) for one in found]
        return all(address is not None and reach_of(address) == "public" for address in addresses)

    def _session(self, *, public_only: bool) -> Callable[..., Awaitable[aiohttp.ClientSession]]:
        async def check(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
            # Every redirect passes here, also those that a proxy would look up.
            self._allowed.check_url(str(request.url), public_only=public_only)
            return await handler(request)

        async def make(loop: asyncio.AbstractEventLoop, **settings: Any) -> aiohttp.ClientSession:
            resolver = _GuardedResolver(aiohttp.DefaultResolver(), self._allowed, public_only=public_only)
            defaults = {"timeout": aiohttp.ClientTimeout(total=self._seconds), "middlewares": (check,)}
            connector = aiohttp.TCPConnector(resolver=resolver)
            return aiohttp.ClientSession(connector=connector, **{**defaults, **settings})

        return make


class _GuardedResolver(AbstractResolver):
    """Looks up names, and gives the addresses that may be connected to. Raises ImageRefused where there is none."""

    def __init__(self, resolver: AbstractResolver, allowed: AllowedImages, *, public_only: bool) -> None:
        self._resolver = resolver
        self._allowed = allowed
        self._public_only = public_only

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp's resolvers."""
        found = await self._resolver.resolve(host, port, family)
        if host in _proxies():
            return found
        permitted = self._allowed.permitted(host, [one["host"] for one in found], public_only=self._public_only)
        return [one for one in found if one["host"] in permitted]

    async def close(self) -> None:
        """As aiohttp's resolvers."""
        await self._resolver.close()


def _proxies() -> set[str]:
    """The hosts of the proxies that the environment names: whoever runs this chose them."""
    found = set()
    for url in urllib.request.getproxies().values():
        with contextlib.suppress(ValueError):
            found.add(urlsplit(url if "://" in url else f"//{url}").hostname or "")
    return found


async def read_web(
    fs: HTTPFileSystem,
    url: str,
    collect: Callable[[aiohttp.ClientResponse], Awaitable[bytes]],
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """What `collect` makes of the response to a GET of `url`. Raises as fsspec does, and what `collect` raises."""
    session = await fs.set_session()
    given = {**fs.kwargs, "headers": {**fs.kwargs.get("headers", {}), **(headers or {})}}
    async with session.get(fs.encode_url(url), **given) as response:
        fs._raise_not_found_for_status(response, url)
        return await collect(response)
