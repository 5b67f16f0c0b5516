"""The flow as a Prefect deployment: deployed from the repository's file, run by a worker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort

from tests.conftest import read_rows
from tests.test_cli import ROOT, environment

PREFECT = [sys.executable, "-m", "prefect"]


def prefect(*args: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*PREFECT, *args], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_worker_runs_the_deployed_flow(project: Path, prefect_server: None) -> None:
    before = (ROOT / "deployments" / "prefect.yaml").read_bytes()
    prefect("work-pool", "create", "--type", "process", "regioncap")
    prefect("--no-prompt", "deploy", "--prefect-file", "deployments/prefect.yaml", "--all")
    places = {"input": "photos.jsonl", "output": "out.jsonl", "cache_path": "cache"}
    config = {name: str(project / path) for name, path in places.items()} | {"captioner": "pixels"}
    prefect("deployment", "run", "region-caption/regioncap", "--params", json.dumps({"config": config}))
    prefect("worker", "start", "--pool", "regioncap", "--run-once")
    assert len(read_rows(project / "out.jsonl")) == 6
    assert (ROOT / "deployments" / "prefect.yaml").read_bytes() == before
    # Nobody looks on: other settings would have every caption asked for again, so they are refused.
    output = (project / "out.jsonl").read_bytes()
    prefect(
        "deployment", "run", "region-caption/regioncap", "--params", json.dumps({"config": config | {"max_boxes": 2}})
    )
    prefect("worker", "start", "--pool", "regioncap", "--run-once")
    assert (project / "out.jsonl").read_bytes() == output
    with get_client(sync_client=True) as client:
        states = [run.state for run in client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_ASC)]
    assert [state.name for state in states if state][-2:] == ["Completed", "Failed"]
    assert "max_boxes 10 -> 2" in str(states[-1] and states[-1].message)
