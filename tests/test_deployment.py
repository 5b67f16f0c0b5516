"""The flow as a Prefect deployment: deployed from the repository's file, run by a worker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
