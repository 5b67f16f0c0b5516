"""Whether rows may name the images that they name, found out before thousands of them are rejected for it."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import TimeoutError as Late

from regioncap.errors import RowReject, UsageError
from regioncap.preflight.first_rows import FirstRows
from regioncap.records import cut_text
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.storage.allowed_images import ImageRefused, host_of
from regioncap.storage.runs import entry_place, registered
from regioncap.tasks.load import load_row

MAX_REFUSED = 0.05
"""Share of the first rows that may name what is not allowed. More is no row's fault, but the settings'."""

DECIDE = ("input", "image_root", "image_key", "allowed_images", "s3_endpoint_url")
"""The settings that decide whether rows are refused."""

HOSTS_LOOKED_UP = 20
LOOKUP_SECONDS = 5.0
MAX_SHOWN = 5
"""Places that are named; a list that allows more should be made by hand."""


def check_allowed_images(context: RunContext, rows: FirstRows) -> None:
    """Raises UsageError where more than MAX_REFUSED of the first rows name images that are not allowed.

    Skipped when the output's last run had the same input and the same of what decides this.
    """
    if _as_before(context):
        return
    images = list(_images(context, rows))
    refused = _refusals(context, images)
    count = sum(refused.values())
    if count <= MAX_REFUSED * len(images):
        return
    places = _places(refused)
    shown = "; ".join(f"{number:,} in {cut_text(entry, 120)}" for entry, number in places.most_common(MAX_SHOWN))
    more = f" and {len(places) - MAX_SHOWN} other places" if len(places) > MAX_SHOWN else ""
    entries = (*context.config.allowed_images, *(entry for entry, _ in places.most_common(MAX_SHOWN)))
    flags = " ".join(f"--allowed-images {entry}" for entry in entries)
    raise UsageError(
        f"allowed_images: {count:,} of the first {len(images):,} rows name images that are not allowed: {shown}{more} "
        f"({cut_text(next(iter(refused)).why, 120)}). If rows may read them: {flags}"
    )


def _as_before(context: RunContext) -> bool:
    entry = entry_place(context.cache, context.config.file_name_prefix, context.config.output)
    before = registered(entry).config
    return all(before.get(name) == value for name, value in context.config.fields(DECIDE).items())


def _images(context: RunContext, rows: FirstRows) -> Iterator[str]:
    for source, number, text in rows.lines():
        row = load_row(number, source, text, context.config.image_key)
        if "image" in row:
            yield row["image"]


def _refusals(context: RunContext, images: Iterable[str]) -> Counter[ImageRefused]:
    found: Counter[ImageRefused] = Counter()
    hosts: Counter[str] = Counter()
    for image in images:
        with contextlib.suppress(RowReject), row_work("allowed_images", image):
            refused = context.images.refusal(image)
            if refused is not None:
                found[refused] += 1
            elif host := host_of(image):
                hosts[host] += 1
    return found + _refused_hosts(context, hosts)


def _refused_hosts(context: RunContext, hosts: Counter[str]) -> Counter[ImageRefused]:
    """Those of the hosts whose addresses are not allowed; asked for where only public ones are."""
    found: Counter[ImageRefused] = Counter()
    if "strict" not in context.config.allowed_images:
        return found
    names = [host for host, _ in hosts.most_common(HOSTS_LOOKED_UP)]
    with contextlib.suppress(Late):  # a name that cannot be looked up is a row's matter
        for host, refused in zip(
            names, context.threads.io.map(context.images.host_refusal, names, timeout=LOOKUP_SECONDS), strict=False
        ):
            if refused is not None:
                found[refused] += hosts[host]
    return found


def _places(refused: Counter[ImageRefused]) -> Counter[str]:
    """How many rows name each of the places to allow; folders that lie together as the one that holds them."""
    folders = [one.allow for one in refused if one.allow.startswith("/")]
    common = os.path.commonpath(folders) if folders else ""
    found: Counter[str] = Counter()
    for one, number in refused.items():
        found[common if one.allow.startswith("/") and common != "/" else one.allow] += number
    return found
