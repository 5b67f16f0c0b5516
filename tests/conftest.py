"""What tests share: a Prefect server of their own, photos drawn in memory, and runs of the flow."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest

from regioncap.config.files import make_config
from regioncap.config.model import RegionCapConfig
from regioncap.output.summary import Summary
from regioncap.run.runs import RUNS
from tests.deployed import Site

Run = Callable[..., Summary]


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """No run of a test's goes on after it, in this process."""
    before = len(RUNS)
    yield
    assert len(RUNS) <= before


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Prefect server on a database of its own, started once and ended with the tests."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Prefect server as users start one, with the repository's deployments and a worker."""
    made = Site(tmp_path_factory.mktemp("site"))
    try:
        made.begin()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of a server that speaks S3 over HTTP (moto), on a free port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        # What a user's environment has: fsspec, s3fs and botocore find all of it themselves.
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key-of-tests")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-tests")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str) -> str:
    """The URL of an empty S3 bucket."""
    name = f"test-{uuid.uuid4().hex}"
    fsspec.filesystem("s3", use_listings_cache=False).mkdir(name)
    return f"s3://{name}"


def draw_photo(seed: int, width: int = 96, height: int = 64) -> np.ndarray:
    """HxWx3 uint8 BGR: two plain shapes on a soft ground, different for each seed."""
    rng = np.random.default_rng(seed)
    ground = np.linspace(60, 120, width, dtype=np.uint8)
    image = np.repeat(np.tile(ground, (height, 1))[..., None], 3, axis=2)
    colours = [tuple(int(value) for value in rng.integers(0, 255, 3)) for _ in range(2)]
    cv2.rectangle(image, (width // 8, height // 4), (width // 2, height - 8), colours[0], -1)
    cv2.circle(image, (3 * width // 4, height // 2), height // 5, colours[1], -1)
    return image


def write_photo(path: Path, seed: int) -> Path:
    """A drawn photo as PNG, so that its bytes depend on no JPEG codec's version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".png", draw_photo(seed))
    assert done
    path.write_bytes(data.tobytes())
    return path


BOX = [12, 16, 36, 40]


def write_rows(path: Path, rows: list[Any]) -> Path:
    """Rows as JSON Lines; a string is written as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with `photos.jsonl` of six rows, with and without boxes, and their photos."""
    rows = []
    for number in range(6):
        write_photo(tmp_path / f"photo{number}.png", number)
        rows.append({"image": f"photo{number}.png", "id": f"{number:03d}"} | ({"bbox": [BOX]} if number % 2 else {}))
    write_rows(tmp_path / "photos.jsonl", rows)
    return tmp_path


def config_of(folder: Path, **changes: Any) -> RegionCapConfig:
    """The config of a run in `folder`: everything it reads and writes lies there."""
    values = {
        "input": str(folder / "photos.jsonl"),
        "output": str(folder / "out.jsonl"),
        "cache_path": str(folder / "cache"),
        "captioner": "pixels",
        "max_boxes": 3,
    }
    return make_config(**{**values, **changes})


@pytest.fixture
def run(prefect_server: None) -> Run:
    """`run(folder, **settings)`: the real flow on a folder's `photos.jsonl`."""
    from regioncap.flows.region_caption import region_caption

    return lambda folder, **changes: region_caption(config_of(folder, **changes))
