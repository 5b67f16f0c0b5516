"""The stand-in for S3 (`s3_server.py`) in a process of its own, as benchmarks use it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

LATENCY = 0.02
"""Seconds of a request."""

BUCKET = "bench"


class Store:
    """A stand-in for S3 at `url`, with an empty bucket."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.folder = f"s3://{BUCKET}"
        self.env = {
            "AWS_ENDPOINT_URL_S3": url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        """With these s3fs finds it."""
        self.fs = fsspec.filesystem(
            "s3", endpoint_url=url, key="key", secret="secret", client_kwargs={"region_name": "us-east-1"},
            use_listings_cache=False, max_concurrency=1,
        )  # fmt: skip
        self.fs.mkdir(BUCKET)

    def counted(self, latency: float) -> Counter[str]:
        """The requests since the last call, by kind and purpose; from now on each takes `latency` seconds."""
        with urllib.request.urlopen(f"{self.url}/?latency={latency}") as response:
            counts = json.load(response)
        found: Counter[str] = Counter()
        for kind, folders in counts.items():
            for folder, count in folders.items():
                found[f"{kind:<6} {purpose(folder)}"] += count
        return found


def purpose(folder: str) -> str:
    """What a folder of the bucket is for: a kind of the cache's files, else itself.

    >>> purpose("cache/captions/0b"), purpose("cache/regioncap_step4"), purpose("photos")
    ('captions', 'steps', 'photos')
    """
    parts = folder.removeprefix("cache/").split("/")
    return "steps" if "_step" in parts[0] else parts[0]


@contextmanager
def object_store(latency: float = LATENCY) -> Iterator[Store]:
    """A stand-in for S3 in a process of its own."""
    command = [sys.executable, str(Path(__file__).parent / "s3_server.py"), "--latency", str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Store(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.communicate()
