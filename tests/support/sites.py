"""What a user has who follows docs/prefect.md: `prefect server start`, the deployments, a worker; and its API."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx

from tests.support.commands import ROOT
from tests.support.processes import end_with_us
from tests.support.waiting import until

OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PrefectServer:
    """A Prefect server on a database of its own, its commands, and its API."""

    def __init__(
        self, home: Path, folder: Path = ROOT, python: str | Path = sys.executable, pythonpath: Path | None = ROOT
    ) -> None:
        """`home`: where Prefect keeps its files. Its commands run in `folder`, by `python` with `pythonpath`."""
        self.home = home
        self.ui = f"http://127.0.0.1:{free_port()}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._folder, self._command = folder, [str(python), "-m", "prefect"]
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PYTHONPATH"))}
        self.environment = {
            **plain, "PREFECT_HOME": str(home), "PREFECT_API_URL": f"{self.ui}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
            "COLUMNS": "200",
        }  # fmt: skip
        if pythonpath:
            self.environment["PYTHONPATH"] = str(pythonpath)

    def begin(self) -> None:
        """Start the server."""
        self.start("server", "start", "--host", "127.0.0.1", "--port", self.ui.rpartition(":")[2])
        until(self._healthy)

    def _healthy(self) -> bool:
        try:
            return httpx.get(f"{self.ui}/api/health", timeout=5).is_success
        except httpx.TransportError:
            return False

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A `prefect` command that runs until the end."""
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen(
                [*self._command, *command], cwd=self._folder, env=self.environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.processes.append(end_with_us(process))
        return process

    def prefect(self, *command: str) -> str:
        """A `prefect` command that ends well; gives what it says."""
        done = subprocess.run(
            [*self._command, *command], cwd=self._folder, env=self.environment, capture_output=True, text=True,
            timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def end(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # --- its API, as anyone's program would use it

    def request(self, method: str, path: str, body: Any = None, repeatable: bool = False) -> httpx.Response:
        """The server's answer; asked again while it is too busy, as Prefect's own client does: on SQLite it says so.

        `repeatable`: the request may be sent again where no answer came, since doing it twice does no more than once.
        """

        def answered() -> httpx.Response | None:
            try:
                found = httpx.request(method, f"{self.ui}/api/{path}", json=body, timeout=60)
            except httpx.TransportError:
                if repeatable:
                    return None
                raise
            return None if found.status_code == httpx.codes.SERVICE_UNAVAILABLE else found

        return until(answered)

    def get(self, path: str) -> Any:
        return self.request("GET", path, repeatable=True).raise_for_status().json()

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.request("POST", path, body, repeatable=path.endswith("/filter") or "idempotency_key" in body)

    def deployment(self, name: str) -> Any:
        return self.get(f"deployments/name/region-caption/{name}")

    def create(self, name: str, **parameters: Any) -> httpx.Response:
        """Ask for a run of a deployment; refused when the parameters are wrong."""
        number = self.deployment(name)["id"]
        return self.post(
            f"deployments/{number}/create_flow_run", parameters=parameters, idempotency_key=uuid.uuid4().hex
        )

    def run(self, name: str, **parameters: Any) -> Any:
        """A run of a deployment, from its order to its end."""
        created = self.create(name, **parameters)
        assert created.is_success, created.text
        return self.ended(created.json()["id"])

    def ended(self, number: str) -> Any:
        """The flow run when it is over."""

        def over() -> Any:
            found = self.get(f"flow_runs/{number}")
            return found if found["state"]["type"] in OVER else None

        return until(over)

    def runs_of(self, name: str) -> list[Any]:
        """All flow runs of a deployment."""
        number = self.deployment(name)["id"]
        found = self.post("flow_runs/filter", flow_runs={"deployment_id": {"any_": [number]}}, sort="START_TIME_ASC")
        return list(found.raise_for_status().json())

    def artifacts(self, number: str) -> dict[str, Any]:
        """Data of a flow run's artifacts by type."""
        found = self.post("artifacts/filter", artifacts={"flow_run_id": {"any_": [number]}}).json()
        return {one["type"]: json.loads(one["data"]) if one["type"] == "table" else one["data"] for one in found}

    def log(self, number: str) -> list[str]:
        """The lines of the log of a flow run that is over."""

        def whole() -> list[Any]:
            wanted = {"flow_run_id": {"any_": [number]}}
            found = self.post("logs/filter", logs=wanted, limit=200, sort="TIMESTAMP_ASC").raise_for_status().json()
            last = [
                one for one in found if one["name"] == "prefect.flow_runs" and "Finished in state" in one["message"]
            ]
            return list(found) if last else []

        # Lines come in batches, some after the run's end.
        return [line["message"] for line in until(whole)]


class Site(PrefectServer):
    """A Prefect server with the repository's deployments, and a worker."""

    def begin(self) -> None:
        """Start the server, deploy, start the worker."""
        super().begin()
        for kind, name in (("process", "regioncap"), ("docker", "regioncap-docker")):
            self.prefect("work-pool", "create", "--type", kind, name)
        self.deploy()
        self.start("worker", "start", "--pool", "regioncap")

    def deploy(self) -> None:
        """`prefect deploy`, for all deployments of the repository."""
        file = ROOT / "deployments" / "prefect.yaml"
        before = file.read_bytes()
        self.prefect("--no-prompt", "deploy", "--prefect-file", "deployments/prefect.yaml", "--all")
        assert file.read_bytes() == before, "deploying has changed the file"
