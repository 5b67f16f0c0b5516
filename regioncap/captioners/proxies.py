"""Which proxy a request goes through: as the environment says, but never one to this machine itself."""

from __future__ import annotations

import ipaddress
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

from regioncap.captioners.server_errors import RESUMES, EndpointFailed

SCHEMES = ("http", "https")


def environment_proxies() -> dict[str, str]:
    """Proxies by the scheme of the URLs that they are for, as HTTP_PROXY and HTTPS_PROXY name them."""
    named = urllib.request.getproxies()
    return {scheme: url if "://" in url else f"http://{url}" for scheme in SCHEMES if (url := named.get(scheme))}


def proxy_of(url: str, proxies: Mapping[str, str]) -> str | None:
    """The proxy for `url`; None for addresses of this machine and those that NO_PROXY names.

    Raises EndpointFailed for a kind of proxy that is not supported.
    """
    parts = urlsplit(url)
    proxy = proxies.get(parts.scheme)
    if proxy is None or is_loopback(parts.hostname or "") or urllib.request.proxy_bypass(parts.netloc):
        return None
    kind = urlsplit(proxy).scheme
    if kind not in SCHEMES:
        raise EndpointFailed(
            f"{parts.scheme.upper()}_PROXY: expected an http:// or https:// proxy, got {kind}://; name another, or "
            f"go without it by NO_PROXY={parts.hostname}. {RESUMES}"
        )
    return proxy


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("example.org")
    (True, True, False)
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified  # 0.0.0.0: as servers print where they listen
