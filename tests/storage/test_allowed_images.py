"""What rows may name: files, stores, hosts, wherever links, names and redirects lead."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.config.image_rules import Address, ImageRules
from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.storage import addresses
from regioncap.storage.addresses import literal_address, reach_of_name
from regioncap.storage.allowed_images import AllowedImages, ImageRefused
from regioncap.storage.bounded_read import BoundedReader
from regioncap.storage.collecting import ReadLimits
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS
from regioncap.storage.images import ImageFiles
from tests.support.http_images import image_server

STRICT = ("strict",)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with image_server() as url:
        yield url


def images_in(root: Path | str, *entries: str) -> ImageFiles:
    allowed = AllowedImages(ImageRules.of(entries), [str(root)])
    return ImageFiles(str(root), reader=BoundedReader(DEFAULT_FILESYSTEMS, allowed, ReadLimits(seconds=20)))


def code_of(image: str, root: Path | str, *entries: str) -> str:
    """The code of the reject; "" where the image is read."""
    try:
        images_in(root, *entries).read(ImageRef(image))
    except RowReject as reject:
        return reject.code
    return ""


def is_allowed(image: str, *entries: str, own: tuple[str, ...] = ()) -> bool:
    try:
        AllowedImages(ImageRules.of(entries), own).check(image)
    except ImageRefused:
        return False
    return True


# --- files


def test_files_of_the_system_are_refused_whatever_leads_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self/environ")
    up = "../" * len(tmp_path.parts)
    for image in (
        "/proc/self/environ", "/proc/self/root/proc/self/environ", "file:///proc/self/environ", f"{tmp_path}/link",
        f"{tmp_path}/{up}proc/self/status", "tar://a::/proc/self/environ", f"zip://a::{tmp_path}/link",
    ):  # fmt: skip
        assert code_of(image, tmp_path) == "image_refused", image
        assert code_of(image, "/") == "image_refused", image  # an input at the root does not open them
    assert code_of("link", tmp_path) == "image_refused"
    for folder in ("/sys", "/dev"):
        with pytest.raises(ImageRefused, match=folder):
            AllowedImages().check_file(f"{folder}/class/x")
    assert code_of("/proc/version", tmp_path, "/proc") == ""
    assert code_of("version", "/proc") == ""  # where the input lies there


def test_strict_keeps_to_the_folders_of_the_input(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other, tmp_path / "own-too"):
        folder.mkdir()
        (folder / "a.jpg").write_bytes(b"a")
    (own / "link.jpg").symlink_to(other / "a.jpg")
    (own / "inside.jpg").symlink_to(own / "a.jpg")
    images = {
        "a.jpg": "", f"{own}/a.jpg": "", "inside.jpg": "", f"file://{own}/a.jpg": "", "../own/a.jpg": "",
        "link.jpg": "image_refused", "../other/a.jpg": "image_refused", f"{other}/a.jpg": "image_refused",
        f"file://{other}/a.jpg": "image_refused", "../own-too/a.jpg": "image_refused",
        f"tar://m::{other}/a.jpg": "image_refused", "gone.jpg": "image_missing", "../gone.jpg": "image_refused",
    }  # fmt: skip
    for image, code in images.items():
        assert code_of(image, own, *STRICT) == code, image
        assert code_of(image, own) in ("", "image_missing", "image_unavailable"), image
    assert code_of(f"{other}/a.jpg", own, *STRICT, str(other)) == ""
    with pytest.raises(RowReject) as refused:
        images_in(own, *STRICT).read(ImageRef("../other/a.jpg"))
    assert f"add '{other}' to allowed_images" in refused.value.message


def test_an_input_reached_by_a_link_is_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"a")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert code_of("a.jpg", tmp_path / "link", *STRICT) == ""


# --- stores


@pytest.mark.parametrize(
    ("image", "local", "strict"),
    [
        ("s3://own/x/a.jpg", True, True),
        ("s3a://own/a.jpg", True, True),
        ("s3://other/a.jpg", True, False),
        ("s3://own-too/a.jpg", True, False),
        ("S3://other/a.jpg", True, False),
        ("s3://metadata/a.jpg", True, False),
        ("gs://own/a.jpg", True, False),
        ("hf://datasets/a/b.jpg", True, False),
        ("data:,", True, True),
        ("https://example.org/a.jpg", True, True),
        ("https://8.8.8.8/a.jpg", True, True),
        ("http://10.0.0.5/a.jpg", True, False),
        ("http://169.254.169.254/latest", False, False),
        ("http://metadata.google.internal/x", False, False),
        ("ftp://169.254.169.254/x", False, False),
        ("zip://a.jpg::s3://own/a.zip", True, True),
        ("tar://a.jpg::s3://other/a.tar", True, False),
        ("tar://a.zip::zip://b.tar::s3://own/a.zip", True, True),
        ("tar://a.jpg::http://169.254.169.254/", False, False),
        *((f"{chain}::s3://own/a.jpg", False, False) for chain in ("simplecache", "filecache", "blockcache", "dir")),
        *((f"{protocol}://own/a.jpg", False, False) for protocol in (
            "github", "gist", "git", "gitlab", "jupyter", "jlab", "dask", "reference", "dir", "generic", "libarchive",
            "asynclocal", "sftp", "ssh", "smb", "GitHub",
        )),
    ],
)  # fmt: skip
def test_stores(image: str, local: bool, strict: bool) -> None:
    own = ("s3://own/folder",)
    assert (is_allowed(image, own=own), is_allowed(image, "strict", own=own)) == (local, strict)


@pytest.mark.parametrize(
    ("image", "entry", "allowed"),
    [
        ("s3://other/photos/a.jpg", "s3://other/photos/", True),
        ("s3://other/photos/a.jpg", "s3://other/photos", True),
        ("s3://other/photos2/a.jpg", "s3://other/photos", False),
        ("s3://other/photos/../a.jpg", "s3://other/photos", False),
        ("http://10.0.0.5/photos/%2e%2e/a.jpg", "http://10.0.0.5/photos/", True),  # its host is allowed, by that
        ("http://10.0.0.5/a.jpg", "10.0.0.0/8", True),
        ("http://10.0.0.5/a.jpg", "10.0.0.5", True),
        ("http://10.0.0.6/a.jpg", "10.0.0.5", False),
        ("http://[fd00::5]/a.jpg", "fd00::/8", True),
        ("http://169.254.169.254/a.jpg", "169.254.169.254", True),
        ("github://o:r@main/a.jpg", "github://", True),
        ("sftp://me@host/a.jpg", "sftp://host/", True),
        ("sftp://other/a.jpg", "sftp://host/", False),
        ("simplecache::https://example.org/a.jpg", "simplecache::", True),
        ("simplecache::s3://other/a.jpg", "simplecache::", False),
        ("simplecache::http://169.254.169.254/", "simplecache::", False),
    ],
)
def test_entries_that_allow_more(image: str, entry: str, allowed: bool) -> None:
    assert is_allowed(image, "strict", entry) == allowed


@pytest.mark.parametrize(
    "entries",
    [("10.0.0.5:9000",), ("a b",), ("strict", "local"), ("s3:/bucket",), ("",), ("[::1]",)],
)
def test_entries_that_are_none(entries: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="allowed_images: expected"):
        ImageRules.of(entries)


# --- hosts


@pytest.mark.parametrize(
    ("host", "reach"),
    [
        *((host, "metadata") for host in (
            "169.254.169.254", "169.254.0.1", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376",
            "169.254.43518", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::",
            "::169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200",
            "metadata.google.internal", "METADATA.google.internal.",
        )),
        *((host, "private") for host in (
            "127.0.0.1", "127.1", "0", "0.0.0.0", "::1", "::", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
            "fd12::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "224.0.0.1",
        )),
        *((host, "public") for host in ("8.8.8.8", "134744072", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808")),
        *((host, None) for host in ("example.org", "localhost", "a.b", "10.0.0.5.example.org")),
    ],
)  # fmt: skip
def test_addresses_in_all_their_forms(host: str, reach: str | None) -> None:
    assert reach_of_name(host) == reach


NAMES = {
    "metadata.example": ["169.254.169.254"],
    "wrapped.example": ["::ffff:169.254.169.254"],
    "mixed.example": ["169.254.169.254", "127.0.0.1"],
    "private.example": ["127.0.0.1"],
    "public.example": ["127.0.0.9"],
}
"""127.0.0.9 passes for a public address here."""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of hosts that all lead to this machine, where some of its addresses pass for others."""
    real_lookup, real_reach = socket.getaddrinfo, addresses.reach_of

    def lookup(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in NAMES:
            return real_lookup(host, port, *args, **kwargs)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port or 0, 0, 0))
            if ":" in one
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port or 0))
            for one in NAMES[host]
        ]

    def reach(address: Address) -> str:
        return "public" if address == ipaddress.ip_address("127.0.0.9") else real_reach(address)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    for module in ("addresses", "allowed_images", "guarded_http"):
        monkeypatch.setattr(f"regioncap.storage.{module}.reach_of", reach)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("host", "local", "strict"),
    [
        ("127.0.0.1", "", "image_refused"),
        ("private.example", "", "image_refused"),
        ("mixed.example", "", "image_refused"),
        ("metadata.example", "image_refused", "image_refused"),
        ("wrapped.example", "image_refused", "image_refused"),
        ("169.254.169.254", "image_refused", "image_refused"),
        ("2852039166", "image_refused", "image_refused"),
    ],
)
@pytest.mark.parametrize("before", ["", "/to?"])
def test_hosts_are_judged_by_what_is_connected_to(
    host: str, local: str, strict: str, before: str, server: str, tmp_path: Path
) -> None:
    port = server.rpartition(":")[2]
    image = f"http://{host}:{port}/photo"
    if before:  # from a private host, where all may redirect that may be named
        image = f"{server}/to?{image}"
    assert code_of(image, tmp_path) == local
    assert code_of(image, tmp_path, *STRICT) == strict
    assert images_in(tmp_path).stat(ImageRef(image)) is None or not local


@pytest.mark.parametrize("chain", ["", "tar://a.jpg::"])
def test_no_redirect_leads_from_a_public_host_to_a_private_one(
    chain: str, tmp_path: Path, names: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with image_server() as server:
        port = server.rpartition(":")[2]
        # The server listens on 127.0.0.1 alone: what passes for public here is that address under another name.
        monkeypatch.setitem(NAMES, "public.example", ["127.0.0.1"])
        public = "http://public.example:" + port
        monkeypatch.setattr("regioncap.storage.guarded_http.reach_of", lambda address: "public")
        monkeypatch.setattr(AllowedImages, "_check_reach", _only_public_example)
        for target in (f"http://127.0.0.1:{port}/photo", f"http://private.example:{port}/photo", "http://10.0.0.5/"):
            with pytest.raises(RowReject) as refused:
                images_in(tmp_path).read(ImageRef(f"{chain}{public}/to?{target}"))
            assert refused.value.code == "image_refused", target
        if not chain:
            assert images_in(tmp_path).read(ImageRef(f"{public}/to?{public}/photo")) == b"photo"


def _only_public_example(
    self: AllowedImages, host: str, address: Address | None, reach: str, *, public_only: bool
) -> None:
    if host != "public.example" and public_only:
        raise ImageRefused(f"{host} is a private address", host)


def test_a_listed_host_is_reached_by_redirects_too(server: str, tmp_path: Path) -> None:
    image = f"{server}/to?{server}/photo"
    assert code_of(image, tmp_path, *STRICT) == "image_refused"
    assert code_of(image, tmp_path, *STRICT, "127.0.0.1") == ""
    assert code_of(image, tmp_path, *STRICT, f"{server}/") == ""
    assert code_of(image, server, *STRICT) == ""  # the input's own server


def test_a_refusal_says_what_would_allow_it(tmp_path: Path) -> None:
    with pytest.raises(RowReject) as refused:
        images_in(tmp_path).read(ImageRef("http://2852039166/latest/meta-data"))
    assert refused.value.message == (
        "http://2852039166/latest/meta-data is refused: 2852039166 (169.254.169.254) is a link-local or metadata "
        "address, where clouds hand out a machine's credentials; if it may be read, add '2852039166' to allowed_images"
    )
    assert literal_address("2852039166") == ipaddress.ip_address("169.254.169.254")
