"""The deployments of the repository on a Prefect server and a worker, as their users start them."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from regioncap.captioners.fake_server import BatchBehaviour, Behaviour, RunningServer
from regioncap.errors import UsageError
from regioncap.flows.serving import deployments_of
from tests.support.commands import COMMAND, ROOT
from tests.support.processes import end_with_us
from tests.support.rows import read_rows, write_rows
from tests.support.sites import Site
from tests.support.waiting import until

FILE = ROOT / "deployments" / "prefect.yaml"
NAMES = ("nightly", "nightly-batch", "manual", "manual-all", "docker")


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.02)) as running:
        yield running


def config_of(folder: Path, **more: Any) -> dict[str, Any]:
    places = {"input": "photos.jsonl", "output": "out.jsonl", "cache_path": "cache"}
    return {name: str(folder / path) for name, path in places.items()} | {"captioner": "pixels", **more}


def with_model(server: RunningServer) -> dict[str, Any]:
    return {"captioner": "openai", "endpoint": [server.url], "model": "fake-vlm", "max_pixels": 40_000}


def test_what_is_deployed(site: Site) -> None:
    found = {name: site.deployment(name) for name in NAMES}
    entrypoints = {name: one["entrypoint"] for name, one in found.items()}
    assert entrypoints.pop("manual-all") == "regioncap.flows.region_caption.region_caption"
    assert set(entrypoints.values()) == {"regioncap.flows.basic_form.region_caption"}
    assert all(one["enforce_parameter_schema"] for one in found.values())
    nightly = found["nightly"]
    assert [(s["schedule"]["cron"], s["schedule"]["timezone"]) for s in nightly["schedules"]] == [
        ("0 2 * * *", "Europe/Berlin")
    ]
    assert (nightly["global_concurrency_limit"]["limit"], nightly["concurrency_options"]["collision_strategy"]) == (
        1, "CANCEL_NEW",
    )  # fmt: skip
    assert nightly["parameters"]["config"]["on_config_change"] == "refuse"
    assert found["docker"]["work_pool_name"] == "regioncap-docker"
    assert found["docker"]["job_variables"]["image"].startswith("regioncap:")
    assert found["manual"]["schedules"] == []


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "too small": ({"max_boxes": 0}, "config.max_boxes", "0 is less than the minimum of 1"),
    "no number": ({"shard_size": "many"}, "config.shard_size", "'many' is not of type 'integer'"),
    "not in the list": ({"bbox_format": "yolo"}, "config.bbox_format", "'yolo' is not one of"),
    "unknown": ({"max_boxs": 3}, "config", "('max_boxs' was unexpected)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_with_field_and_reason(site: Site, project: Path, case: str) -> None:
    wrong, field, reason = WRONG[case]
    refused = site.create("manual", config=config_of(project, **wrong))
    assert refused.status_code == 409
    assert f"'{field}'" in refused.text
    assert reason in refused.json()["detail"]


def test_a_run_by_the_worker_and_its_page(site: Site, project: Path) -> None:
    with (project / "photos.jsonl").open("a") as file:
        file.write('broken\n{"image": "gone.png"}\n{"image": "gone too.png"}\n')
    run = site.run("manual", config=config_of(project), ticket="A-17")
    assert run["state"]["name"] == "Completed", run["state"]
    assert run["name"].startswith("out.jsonl · ")
    assert len(read_rows(project / "out.jsonl")) == 6
    page = site.artifacts(run["id"])
    assert page["progress"] == 100.0
    assert [(line["code"], line["rows"], line["first"]) for line in page["table"]] == [
        ("image_missing", 2, "line 8 gone.png"), ("bad_json", 1, "line 7"),
    ]  # fmt: skip
    assert page["markdown"].startswith(f"## {run['state']['message']}\n")
    assert run["state"]["message"].startswith("6 of 9 rows captioned, ")
    assert page["markdown"].count("data:image/jpeg;base64,") == 3
    assert f"{site.ui}/deployments/deployment/" in page["markdown"]
    log = site.log(run["id"])
    # An unknown parameter does no harm, but is logged.
    assert "ignored, since the flow has no such parameter: ticket" in log
    steps = ("load", "route", "extract", "normalize", "visualize", "caption", "shard")
    assert [sum(f"'{step} 00000: " in line for line in log) for step in steps] == [1] * 7


def test_a_run_with_too_many_rejects_has_failed_and_its_page_says_why(site: Site, project: Path) -> None:
    write_rows(project / "photos.jsonl", [{"image": f"gone{number}.png"} for number in range(3)])
    run = site.run("manual", config=config_of(project))
    words = "0 of 3 rows captioned, 0 captions, 3 rejected"
    assert run["state"]["type"] == "FAILED"
    assert run["state"]["message"] == f"all of the 3 rows were rejected. {words}"
    lines = site.artifacts(run["id"])["markdown"].splitlines()
    assert lines[0] == f"## {words}"
    assert lines[2].startswith("**all of the 3 rows were rejected.**")
    assert not [line for line in site.log(run["id"]) if "Traceback" in line]


def test_a_cancelled_run_leaves_the_output_says_what_is_kept_and_can_be_tried_again(
    site: Site, project: Path, server: RunningServer
) -> None:
    output = project / "out.jsonl"
    output.write_text("earlier\n")
    server.change(latency=0.5, slots=1)
    number = site.create("manual", config=config_of(project, **with_model(server), max_in_flight=1)).json()["id"]
    until(lambda: server.stats["answered"] > 2)
    server.change(latency=20.0)  # however late the worker cancels it, it is not at its end
    site.post(f"flow_runs/{number}/set_state", state={"type": "CANCELLING", "name": "Cancelling"}).raise_for_status()
    run = site.ended(number)
    assert run["state"]["type"] == "CANCELLED", run["state"]
    page = site.artifacts(number)["markdown"]
    assert page.startswith("## The run was cancelled\n")
    assert "**What to do:** [run the deployment again](" in page
    assert re.search(r"- \*\*done\*\*: \d of about 6 rows, \d+ new captions\. \d+ captions? (is|are) kept", page)
    assert output.read_text() == "earlier\n"
    server.change(latency=0.02, slots=32)
    retry = {"type": "SCHEDULED", "name": "AwaitingRetry"}  # as the button Retry does
    site.post(f"flow_runs/{number}/set_state", state=retry, force=True).raise_for_status()
    until(lambda: site.get(f"flow_runs/{number}")["state"]["type"] == "COMPLETED")
    assert len(read_rows(output)) == 6


def test_a_setting_in_the_wrong_place_is_reported_and_crashes_nothing(site: Site, project: Path) -> None:
    run = site.run("manual", config=config_of(project), max_usd=5)
    assert run["state"]["type"] == "FAILED"
    assert "max_usd: settings belong inside config: {'config': {'max_usd': 5, …}}" in run["state"]["message"]
    assert not (project / "out.jsonl").exists()


def test_what_a_schema_cannot_say_fails_with_words_and_no_traceback(site: Site, project: Path) -> None:
    wrong = site.run("manual", config=config_of(project, captioner="openai", model="m", endpoint=["ftp://x"]))
    assert wrong["state"]["type"] == "FAILED"
    assert wrong["state"]["message"] == "endpoint: expected a URL such as http://host:8000/v1, got 'ftp://x'"
    assert site.artifacts(wrong["id"])["markdown"].startswith("## Nothing was run: the settings are wrong\n")
    assert wrong["name"].startswith("out.jsonl · ")
    dead = site.run("manual", config=config_of(project, captioner="openai", model="m", endpoint=["http://127.0.0.1:9"]))
    assert "Start the server, or correct `endpoint`" in dead["state"]["message"]
    page = site.artifacts(dead["id"])["markdown"]
    assert page.startswith("## The run stopped before its end")
    assert "[run the deployment again](" in page
    assert not [line for line in site.log(wrong["id"]) + site.log(dead["id"]) if "Traceback" in line]


def test_changed_settings_are_refused_in_a_deployment(site: Site, project: Path) -> None:
    site.run("manual", config=config_of(project))
    output = (project / "out.jsonl").read_bytes()
    run = site.run("manual", config=config_of(project, max_boxes=2))
    assert run["state"]["type"] == "FAILED"
    assert "max_boxes 10 -> 2" in run["state"]["message"]
    assert (project / "out.jsonl").read_bytes() == output
    assert site.artifacts(run["id"])["markdown"].startswith("## Nothing was run")


def test_a_deployments_run_and_a_local_one_share_the_cache(site: Site, project: Path, server: RunningServer) -> None:
    config = config_of(project, **with_model(server))
    assert site.run("manual", config=config)["state"]["type"] == "COMPLETED"
    asked, output = server.stats["requests"], (project / "out.jsonl").read_bytes()
    assert asked > 6
    (project / "set.yaml").write_text(yaml.safe_dump(config))
    local = [*COMMAND, "run", "--config", "set.yaml"]
    done = subprocess.run(local, cwd=project, env=site.environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    again = site.run("manual", config=config)
    assert again["state"]["type"] == "COMPLETED"
    runs = [json.loads(line) for line in (project / "out.runs.jsonl").read_text().splitlines()]
    assert [run["captions_asked"] for run in runs[1:]] == [0, 0]
    assert (server.stats["requests"], (project / "out.jsonl").read_bytes()) == (asked, output)


def test_scheduled_runs_never_overlap(site: Site, project: Path, server: RunningServer) -> None:
    # A run takes some seconds, and is due every three.
    server.change(latency=0.8, slots=1)
    number = site.deployment("nightly")["id"]
    schedule = {
        "schedule": {"interval": 3.0, "anchor_date": dt.datetime.now(dt.UTC).isoformat()},
        "parameters": {"config": config_of(project, **with_model(server), on_config_change="refuse")},
        "active": True, "max_scheduled_runs": 10,
    }  # fmt: skip
    made = site.request("POST", f"deployments/{number}/schedules", [schedule])
    assert made.status_code == 201, made.text

    def states(kind: str) -> list[Any]:
        due = [run for run in site.runs_of("nightly") if run["parameters"]["config"]["output"].startswith(str(project))]
        return [run for run in due if run["state"]["type"] == kind]

    try:
        until(lambda: states("COMPLETED") and states("CANCELLED"))
    finally:
        gone = site.request("DELETE", f"deployments/{number}/schedules/{made.json()[0]['id']}")
    assert gone.status_code == 204
    until(lambda: not states("RUNNING") and not states("PENDING"))
    assert all(run["auto_scheduled"] for run in states("COMPLETED"))
    assert "concurrency limit" in states("CANCELLED")[0]["state"]["message"].lower()
    ran = sorted((run["start_time"], run["end_time"]) for run in states("COMPLETED"))
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(ran))
    assert len(read_rows(project / "out.jsonl")) == 6


# --- without a worker


def test_what_one_process_serves_is_what_the_file_says() -> None:
    served, elsewhere = deployments_of(FILE)
    names = ["nightly-served", "nightly-batch-served", "manual-served", "manual-all-served"]
    assert ([one.name for one in served], elsewhere) == (names, ["docker"])
    nightly: Any = served[0]
    batch: Any = served[1]
    described = yaml.safe_load(FILE.read_text())["deployments"][0]
    assert nightly.parameters == described["parameters"]
    assert [(s.schedule.cron, s.schedule.timezone) for s in nightly.schedules or []] == [("0 2 * * *", "Europe/Berlin")]
    assert (nightly.concurrency_limit, nightly.concurrency_options.collision_strategy) == (1, "CANCEL_NEW")
    assert [(s.schedule.cron, s.active) for s in batch.schedules or []] == [("0 2,7 * * *", False)]
    assert [one.schedules or [] for one in served[2:]] == [[], []]


@pytest.mark.parametrize(("text", "message"), [(None, "No such file"), ("- 1", "expected a prefect.yaml")])
def test_a_file_that_has_no_deployments(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "prefect.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        deployments_of(tmp_path / "prefect.yaml")


def test_one_process_serves_what_a_worker_has_too_in_either_order(site: Site, project: Path) -> None:
    log = project / "log"
    with log.open("wb") as file:
        process = end_with_us(
            subprocess.Popen(
                [*COMMAND, "serve", "--file", str(FILE)], cwd=project, env=site.environment, stdout=file, stderr=file
            )
        )
    try:
        until(lambda: "manual-all-served" in log.read_text())
        # The worker has the schedule of `nightly`: each night is due once.
        assert (
            "nightly-served: its schedule is inactive, since the workers of regioncap run that of nightly"
            in log.read_text()
        )
        assert [one["active"] for one in site.deployment("nightly-served")["schedules"]] == [False]
        for order in ("deploy, serve", "serve, deploy"):
            if order == "serve, deploy":
                site.deploy()
            outputs = {name: project / f"{order}, {name}.jsonl" for name in ("manual-served", "manual")}
            created = [
                site.create(name, config=config_of(project, output=str(path))).json()["id"]
                for name, path in outputs.items()
            ]
            runs = [site.ended(number) for number in created]
            assert [(run["state"]["type"], run["work_pool_name"]) for run in runs] == [
                ("COMPLETED", None), ("COMPLETED", "regioncap"),
            ]  # fmt: skip
            assert [len(read_rows(path)) for path in outputs.values()] == [6, 6]
    finally:
        process.terminate()
        process.wait(60)


def test_serve_says_what_it_needs(project: Path) -> None:
    plain = {"PYTHONPATH": str(ROOT), "HOME": str(project), "PATH": ""}
    command = [sys.executable, "-c", COMMAND[2], "serve"]
    gone = subprocess.run(command, cwd=project, env=plain, capture_output=True, text=True, timeout=120)
    assert (gone.returncode, "there is no such file" in gone.stderr) == (2, True)
    no_server = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, timeout=120)
    assert (no_server.returncode, "`prefect server start`" in no_server.stderr) == (2, True)


def test_a_run_whose_batches_are_not_done_is_waiting(site: Site, project: Path) -> None:
    with RunningServer(Behaviour(batch=BatchBehaviour(until={"in_progress": threading.Event()}))) as server:
        batches = {"delivery": "batch", "batch_wait": 0}
        run = site.run("manual", config=config_of(project, **with_model(server), **batches))
    assert (run["state"]["type"], run["state"]["name"]) == ("COMPLETED", "Waiting")
    assert "0 of 1 batches done, 0 of 6 answers" in run["state"]["message"]
    assert not (project / "out.jsonl").exists()
