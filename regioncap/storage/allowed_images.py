"""What rows may name as their image: rows are not trusted, and whoever wrote them may not choose what a run reads.

Three questions, each asked as soon as it can be answered: of the address as it is written, of the real path of a file
that was opened, and of the addresses that a host's name has when a connection is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from regioncap.config.image_rules import Address, ImageRules
from regioncap.storage.addresses import Reach, literal_address, reach_of, reach_of_name
from regioncap.storage.urls import behind_chain, is_url

SPECIAL_FOLDERS = ("/proc", "/sys", "/dev")
"""Their files are no data, but what the system tells of itself, memory and secrets of processes included."""

ARCHIVES = ("zip", "tar")
"""The protocols that a chain may begin with."""

CACHES = ("simplecache", "filecache", "blockcache", "cached")
"""Protocols of chains that copy what is behind them to the disk."""

WEB = ("http", "https")
NAMES_HOST = (*WEB, "ftp", "hdfs", "arrow_hdfs", "webhdfs", "webdav", "root")
"""Protocols whose URLs begin with the host that is connected to, not with a bucket."""

ON_DISK = ("file", "local")

NOT_STORES = {
    **dict.fromkeys(("github", "gist", "git", "gitlab", "dvc", "wandb", "pyscript"), "a host of code, not of images"),
    **dict.fromkeys(("jupyter", "jlab", "dask"), "a server that runs code"),
    **dict.fromkeys((*CACHES, "dir", "reference", "generic", "asyncwrapper", "async_wrapper", "asynclocal",
                     "libarchive"), "another place behind it"),
    **dict.fromkeys(("ssh", "sftp", "smb"), "a host that this machine's keys would be offered to"),
}  # fmt: skip
"""Protocols that no row may name unless they are allowed, and what they lead to."""

_SAME = {"s3a": "s3", "gcs": "gs"}
_PARENT = re.compile(r"(^|[/\\])\.\.([/\\]|$)")
_METADATA = "a link-local or metadata address, where clouds hand out a machine's credentials"


class ImageRefused(Exception):
    """`allowed_images` does not allow an image. `why`: in words; `allow`: the entry that would allow it.

    Two with the same words are equal, so that they can be counted.
    """

    def __init__(self, why: str, allow: str) -> None:
        super().__init__(why, allow)
        self.why = why
        self.allow = allow

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageRefused) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)


@dataclass(frozen=True)
class _Place:
    """A URL, in a comparable form: everything that begins so lies below it."""

    protocol: str
    rest: str

    @classmethod
    def of(cls, url: str) -> _Place:
        protocol, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        return cls(_SAME.get(protocol.lower(), protocol.lower()), f"{host.rpartition('@')[2].lower()}{slash}{path}")

    def holds(self, other: _Place) -> bool:
        below = other.rest == self.rest or other.rest.startswith(self.rest.rstrip("/") + "/")
        return other.protocol == self.protocol and below and not _PARENT.search(unquote(other.rest))


class AllowedImages:
    """Decides what rows may name.

    `own`: paths and URLs that the user chose, such as the input's folder: always allowed, URLs with all of their bucket
    or host. `endpoints`: URLs of servers that the settings name; allowed unless the rules are strict.
    """

    def __init__(self, rules: ImageRules | None = None, own: Iterable[str] = (), endpoints: Iterable[str] = ()) -> None:
        self.rules = rules or ImageRules()
        own = list(own)
        named = [*self.rules.urls, *(url for url in own if is_url(url) and not _on_disk(url))]
        self._folders = tuple(
            os.path.realpath(_path_of(folder))
            for folder in (*self.rules.folders, *(one for one in (*own, *self.rules.urls) if _on_disk(one)))
        )
        self._places = tuple(map(_Place.of, [*self.rules.urls, *(_store_of(url) for url in own if not _on_disk(url))]))
        hosts = map(host_of, [*named, *(() if self.rules.strict else endpoints)])
        self._hosts = frozenset(host for host in hosts if host)

    # --- of the address as it is written

    def check(self, address: str) -> None:
        """Raises ImageRefused where the address alone shows that it is not allowed."""
        if not is_url(address) or address.startswith("data:"):
            return
        protocol, behind = protocol_of(address), behind_chain(address)
        if protocol in ON_DISK and not behind:
            return
        if behind:
            if protocol not in (*ARCHIVES, *self.rules.protocols):
                raise ImageRefused(f"{protocol}:: is a chain other than zip and tar", f"{protocol}::")
            self.check(behind)
        elif not self._is_listed(address, protocol):
            self._check_store(address, protocol)

    def _is_listed(self, address: str, protocol: str) -> bool:
        named = _Place.of(address)
        return protocol in self.rules.protocols or any(place.holds(named) for place in self._places)

    def _check_store(self, address: str, protocol: str) -> None:
        if protocol in WEB:
            self.check_url(address, public_only=self.rules.strict)
        elif protocol in NOT_STORES:
            store = _store_of(address)
            raise ImageRefused(
                f"{protocol}:// is {NOT_STORES[protocol]}", store if _has_host(store) else f"{protocol}://"
            )
        elif self.rules.strict:
            store = _store_of(address)
            raise ImageRefused(f"{store} is neither the input's store nor allowed", store)
        elif protocol in NAMES_HOST:
            self.check_url(address, public_only=False)

    def check_url(self, url: str, *, public_only: bool) -> None:
        """Raises ImageRefused for a URL whose host is written as an address that is not allowed, or named as one."""
        host = host_of(url)
        reach = reach_of_name(host)
        if reach is not None:
            self._check_reach(host, literal_address(host), reach, public_only=public_only)

    # --- of a file on disk

    def check_file(self, real_path: str) -> None:
        """Raises ImageRefused for a file that is not allowed; `real_path`: without links."""
        special = next((one for one in SPECIAL_FOLDERS if _is_below(real_path, one)), None)
        if special is None and not self.rules.strict:
            return
        folders = [one for one in self._folders if special is None or _is_below(one, special)]
        if any(_is_below(real_path, folder) for folder in folders):
            return
        if special is not None:
            raise ImageRefused(f"it lies in {special}, which holds no images", special)
        folder = real_path.rpartition("/")[0] or "/"
        raise ImageRefused("it lies neither in the input's folder nor in image_root", folder)

    # --- of a host that is connected to

    def permitted(self, host: str, addresses: Iterable[str], *, public_only: bool) -> list[str]:
        """Those of a host's addresses that may be connected to. Raises ImageRefused if there is none."""
        refused: ImageRefused | None = None
        found = []
        for text in addresses:
            try:
                address = literal_address(text)
                if address is not None:
                    self._check_reach(host, address, reach_of(address), public_only=public_only)
                found.append(text)
            except ImageRefused as error:
                refused = error
        if refused is not None and not found:
            raise refused
        return found

    def _check_reach(self, host: str, address: Address | None, reach: Reach, *, public_only: bool) -> None:
        if host in self._hosts or self.rules.names_host(host):
            return
        if address is not None and self.rules.names_address(address):
            return
        if reach == "metadata" or (reach == "private" and public_only):
            shown = host if address is None or host == str(address) else f"{host} ({address})"
            kind = _METADATA if reach == "metadata" else "a private address"
            raise ImageRefused(f"{shown} is {kind}", host)


def protocol_of(address: str) -> str:
    """The first protocol of a URL or a chain, in lower case."""
    return address.partition(":")[0].lower()


def host_of(url: str) -> str:
    """The host that a URL is on, in lower case; "" for what names none."""
    try:
        return urlsplit(url).hostname or "" if protocol_of(url) in NAMES_HOST else ""
    except ValueError:
        return ""


def _on_disk(address: str) -> bool:
    return not is_url(address) or (protocol_of(address) in ON_DISK and not behind_chain(address))


def _path_of(address: str) -> str:
    return address.partition("://")[2] if is_url(address) else address


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _store_of(url: str) -> str:
    """The bucket or host of a URL, with a slash: `s3://bucket/`; the store behind a chain."""
    url = behind_chain(url) or url
    protocol, _, rest = url.partition("://")
    return f"{protocol}://{rest.partition('/')[0].rpartition('@')[2]}/"


def _has_host(store: str) -> bool:
    return not store.endswith(":///")
