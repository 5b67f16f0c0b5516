"""Fixtures of all tests: a Prefect server of their own, an S3 server, and runs of the flow."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from regioncap.run.runs import RUNS
from regioncap.storage.filesystem import Place
from tests.support.outputs import EVIL_CAPTIONS, EVIL_NAMES, Make, output_row
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import Run, config_of
from tests.support.sites import Site

PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The tests' server runs nothing by itself: no schedules, no automations. (A `Site` is a server as users have it.)
    **{
        f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false"
        for service in ("EVENT_LOGGER", "EVENT_PERSISTER", "FOREMAN", "LATE_RUNS", "SCHEDULER", "TRIGGERS")
    },
}
"""What the environment says to Prefect, in this process and in those that tests start."""

TOGETHER = (
    "tests/deployments/",
    "tests/packaging/",
    "tests/tasks/test_dask_workers.py",
    "tests/report/test_report_in_browser",
)
"""Tests that share what takes many seconds to start: with `pytest -n` they go to one process."""


def pytest_configure(config: pytest.Config) -> None:
    """Give this process a Prefect home and a cache of its own, before anything imports Prefect: none of the user's."""
    # A busy machine is no defect: nothing here is judged by the clock.
    hypothesis.settings.register_profile(
        "regioncap", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("regioncap")
    home = tempfile.mkdtemp(prefix="regioncap-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ.update(PREFECT, PREFECT_HOME=home, XDG_CACHE_HOME=f"{home}/cache")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Every test goes to the next process that is free, but for those that stay together, which come first.

    (`--dist loadgroup` does the same by marks, but pytest-xdist 3.8 does not see them with pytest 9.2.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((name for name in TOGETHER if nodeid.startswith(name)), nodeid)


@pytest.fixture(autouse=True)
def commands_leave_no_trace() -> Iterator[None]:
    """What a command sets for its process does not outlast the test that calls it."""
    environment, log = dict(os.environ), logging.getLogger("regioncap")
    before = log.level, log.propagate, log.handlers
    yield
    log.level, log.propagate, log.handlers = before
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)


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
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def no_s3_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment with no way to S3. fsspec keeps its clients: none of another test's is used, and none is left."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    from regioncap.storage.direct_s3 import DirectS3FileSystem

    kinds = (fsspec.get_filesystem_class("s3"), DirectS3FileSystem)
    for kind in kinds:
        kind.clear_instance_cache()
    yield
    for kind in kinds:
        kind.clear_instance_cache()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty S3 bucket, in an environment as a user's: fsspec, s3fs and botocore find all they need."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-tests")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    name = f"test-{uuid.uuid4().hex}"
    fsspec.filesystem("s3", use_listings_cache=False).mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def memory() -> Iterator[Place]:
    """An empty folder in the memory of this process: a store without locks, as object stores are."""
    name = uuid.uuid4().hex
    yield Place(f"memory://{name}")
    files = fsspec.filesystem("memory")
    if files.exists(f"/{name}"):
        files.rm(f"/{name}", recursive=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with `photos.jsonl` of six rows, with and without boxes, and their photos."""
    rows = []
    for number in range(6):
        write_photo(tmp_path / f"photo{number}.png", number)
        rows.append({"image": f"photo{number}.png", "id": f"{number:03d}"} | ({"bbox": [BOX]} if number % 2 else {}))
    write_rows(tmp_path / "photos.jsonl", rows)
    return tmp_path


@pytest.fixture
def run(prefect_server: None) -> Run:
    """`run(folder, **settings)`: the real flow on a folder's `photos.jsonl`."""
    from regioncap.flows.region_caption import region_caption

    return lambda folder, **changes: region_caption(config_of(folder, **changes))


@pytest.fixture
def make_output(tmp_path: Path) -> Make:
    """`make_output(rows, rejects=())`: an output file, as it would lie beside its photos."""

    def make(rows: list[dict[str, Any]], rejects: tuple[dict[str, Any], ...] = (), name: str = "out.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / name.replace(".jsonl", ".rejects.jsonl")).write_text(
            "".join(json.dumps(row) + "\n" for row in rejects)
        )
        return path

    return make


@pytest.fixture
def evil(tmp_path: Path, make_output: Make) -> Path:
    """An output with every kind of text that breaks pages and tables."""
    rows = []
    for number, image in enumerate(EVIL_NAMES):
        write_photo(tmp_path / image, number)
        captions = EVIL_CAPTIONS[number * 2 : number * 2 + 2] or ["nothing"]
        fields = {"label": ["</style><b>", "x\0y"][: len(captions)], "score": [0.5, None][: len(captions)]}
        meta = {"region_fields": fields, "flags": [["refusal"], []][: len(captions)]}
        rows.append(output_row(image, captions, id=f"{number:03d}", note="a\0b\r\n'\"<x>", meta=meta))
    rows.append(output_row(EVIL_NAMES[0], EVIL_CAPTIONS[-1:]))
    reject = {"line": 9, "row": {"image": "<b>gone</b>.png"}, "step": "extract", "code": "image_missing",
              "message": "line 9: <script>alert(1)</script>"}  # fmt: skip
    raw = {
        "line": 10,
        "row": '{"image": </pre><script>alert(2)</script>',
        "step": "load",
        "code": "bad_json",
        "message": "x",
    }
    return make_output(rows, (reject, raw))
