"""What `allowed_images` says: `local` or `strict`, and the places that are allowed besides."""

from __future__ import annotations

import fnmatch
import ipaddress
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MODES = ("local", "strict")

_HOST = re.compile(r"[a-z0-9_*]([a-z0-9._*-]*[a-z0-9*])?")
_PROTOCOL = re.compile(r"([a-z][a-z0-9+.-]*)(://|::)")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s]+")


@dataclass(frozen=True)
class ImageRules:
    """What rows may name as their image. The defaults are those of `allowed_images="local"`.

    `folders`: on disk, as given. `urls`: everything below them is allowed. `hosts`: names in lower case, with `*` as
    wildcard. `networks`: addresses of hosts. `protocols`: without `://`.
    """

    strict: bool = False
    folders: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    protocols: tuple[str, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> ImageRules:
        """The rules that the entries of `allowed_images` make. Raises ValueError naming an entry that is none."""
        found: dict[str, list[str]] = {"mode": [], "folders": [], "urls": [], "hosts": [], "networks": []}
        protocols: list[str] = []
        for entry in entries:
            if protocol := _PROTOCOL.fullmatch(entry.lower()):
                protocols.append(protocol[1])
            else:
                found[_kind_of(entry)].append(entry)
        if len(set(found["mode"])) > 1:
            raise ValueError("allowed_images: expected local or strict, got both; remove one of them")
        return cls(
            strict="strict" in found["mode"],
            folders=tuple(os.path.expanduser(folder) for folder in found["folders"]),  # noqa: PTH111 - as text
            urls=tuple(found["urls"]),
            hosts=tuple(host.lower() for host in found["hosts"]),
            networks=tuple(ipaddress.ip_network(network, strict=False) for network in found["networks"]),
            protocols=tuple(protocols),
        )

    def names_host(self, host: str) -> bool:
        """Whether a host is allowed by its name."""
        return any(fnmatch.fnmatchcase(host.lower(), pattern) for pattern in self.hosts)

    def names_address(self, address: Address) -> bool:
        """Whether a host is allowed by its address."""
        return any(address in network for network in self.networks)


def _kind_of(entry: str) -> str:
    """What an entry is; raises ValueError for one that is nothing of that."""
    if entry in MODES:
        return "mode"
    if _URL.fullmatch(entry):
        return "urls"
    if entry.startswith(("/", "~", "./", "../")):
        return "folders"
    try:
        ipaddress.ip_network(entry, strict=False)
        return "networks"
    except ValueError:
        if _HOST.fullmatch(entry.lower()):
            return "hosts"
    raise ValueError(
        f"allowed_images: expected local, strict, a folder (/data/photos), a URL (s3://bucket/), a host (10.0.0.5, "
        f"*.example.org, without a port), a network (10.0.0.0/8) or a protocol (sftp://), got {entry!r}"
    )
