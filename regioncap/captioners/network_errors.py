"""Errors below HTTP, and responses that come from something between us and the server, in words.

The one place that knows aiohttp's exceptions. What a configuration causes becomes an EndpointFailed, since it will not
go away by itself; everything else may be different a moment later: TryAgain.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from urllib.parse import urljoin, urlsplit

import aiohttp

from regioncap.captioners.server_errors import RESUMES, EndpointFailed, HttpResponse, TryAgain
from regioncap.captioners.tls import PLAIN_HTTP_REASONS, certificate_problem
from regioncap.masking import outside_text

REDIRECTS = frozenset({301, 302, 303, 307, 308})
PROXY_LOGIN = 407

_TLS_PORT = re.compile(
    rb"HTTP request was sent to HTTPS port|HTTP request to an HTTPS server|plain HTTP to an SSL-enabled", re.IGNORECASE
)
"""What nginx, servers in Go, and Apache answer to plain HTTP on a port for TLS."""


def network_error(error: Exception, url: str, secrets: tuple[str, ...]) -> TryAgain | EndpointFailed:
    """What an error that aiohttp raised for a request to `url` means."""
    cause = _cause_of(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return EndpointFailed(f"{_site(url)}: {certificate_problem(cause)}. {RESUMES}")
    if isinstance(cause, ssl.SSLError) and cause.reason in PLAIN_HTTP_REASONS:
        return EndpointFailed(f"{_site(url)} speaks plain HTTP: use http:// in --endpoint. {RESUMES}")
    words = outside_text(_words(cause), secrets)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return TryAgain(
            f"cannot connect to the proxy {error.host}:{error.port}: {words}{_without(url)}", unreachable=True
        )
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == PROXY_LOGIN:
            return proxy_login(url)
        return TryAgain(f"the proxy refuses to connect: {error.status} {words}{_without(url)}", unreachable=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return TryAgain(f"cannot connect: {words}", unreachable=True)
    return TryAgain(f"the connection broke: {words}")


def is_unreachable(error: TryAgain | EndpointFailed) -> bool:
    """Whether no connection was made."""
    return isinstance(error, TryAgain) and error.unreachable


def needs_tls(url: str) -> EndpointFailed:
    """The server at this `http://` URL expects TLS."""
    return EndpointFailed(f"{_site(url)} accepts TLS only: use https:// in --endpoint. {RESUMES}")


def proxy_login(url: str) -> EndpointFailed:
    """The proxy for `url` requires a user and a password."""
    return EndpointFailed(
        f"the proxy for {_site(url)} requires a login (407): put user and password into HTTPS_PROXY or "
        f"HTTP_PROXY (http://user:password@host:port){_without(url)}. {RESUMES}"
    )


def problem_on_the_way(response: HttpResponse, url: str, secrets: tuple[str, ...]) -> EndpointFailed | None:
    """What a response says that is not the model server's: a proxy's, or that the server is elsewhere."""
    if response.status == PROXY_LOGIN:
        return proxy_login(url)
    if response.status == 400 and url.startswith("http://") and _TLS_PORT.search(response.content[:4096]):
        return needs_tls(url)
    target = response.headers.get("Location")
    if response.status not in REDIRECTS or target is None:
        return None
    # Without its query, which may hold what nobody else should see.
    target = urljoin(url, target).partition("?")[0]
    base = target.rstrip("/").removesuffix("/chat/completions")
    found = base != target.rstrip("/")
    advice = f"set --endpoint {base}" if found else "set --endpoint to the base URL of the server itself"
    return EndpointFailed(
        f"{_site(url)} redirects to {outside_text(target, secrets)} ({response.status}). Redirects are not followed, "
        f"since keys and pictures would go there too: {outside_text(advice, secrets)}. {RESUMES}"
    )


def _cause_of(error: Exception) -> BaseException:
    """The error of the system below aiohttp's, if there is one."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error


def _words(error: BaseException) -> str:
    """An error of the network in a few words: `Connection refused`."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message or type(error).__name__  # its text has the URL, with its query
    if isinstance(error, ssl.SSLError):  # its errno is no error number of the system
        return f"TLS: {(error.reason or 'failed').lower().replace('_', ' ')}"
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _site(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _without(url: str) -> str:
    return f" (NO_PROXY={urlsplit(url).hostname} goes without it)"
