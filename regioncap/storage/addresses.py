"""Addresses of hosts: public, private, or one where clouds hand out a machine's credentials."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Literal

from regioncap.config.image_rules import Address

Reach = Literal["public", "private", "metadata"]

METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local: AWS, Google, Azure, Oracle, DigitalOcean, OpenStack
        "fe80::/10",
        "fd00:ec2::/32",  # AWS
        "fd20:ce::/32",  # Google
        "100.100.100.200/32",  # Alibaba
        "192.0.0.192/32",  # Oracle
        "168.63.129.16/32",  # Azure, to its machines only
    )
)
"""Link-local networks, and where clouds answer a machine with its credentials."""

METADATA_NAMES = (
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
)
"""Names of the same, where a proxy would look them up."""

_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


def literal_address(host: str) -> Address | None:
    """The address that `host` is written as, in any form that a socket takes; None for a name.

    >>> literal_address("2852039166"), literal_address("0xa9.254.43518"), literal_address("example.org")
    (IPv4Address('169.254.169.254'), IPv4Address('169.254.169.254'), None)
    """
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:  # decimal, hexadecimal, octal, and fewer than four numbers
        return ipaddress.IPv4Address(socket.inet_aton(host)) if host.strip() == host else None
    except (OSError, ValueError):
        return None


def reach_of(address: Address) -> Reach:
    """Where an address leads, whatever it is wrapped in."""
    every = [address, *_embedded(address)]
    if any(one in network for one in every for network in METADATA if one.version == network.version):
        return "metadata"
    return "public" if all(one.is_global and not one.is_multicast for one in every) else "private"


def reach_of_name(host: str) -> Reach | None:
    """Where a host's text alone says that it leads; None for a name that must be looked up."""
    if host.lower().rstrip(".") in METADATA_NAMES:
        return "metadata"
    address = literal_address(host)
    return reach_of(address) if address is not None else None


def _embedded(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses that packets to an IPv6 address may end at."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    for found in (address.ipv4_mapped, address.sixtofour):
        if found is not None:
            yield found
    compatible = int(address) >> 32 == 0 and int(address) > 1
    if compatible or any(address in network for network in _NAT64):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
