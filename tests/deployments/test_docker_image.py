"""Dockerfile and compose.yaml as files; and the image in use, where there is a Docker engine that has it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import regioncap
from tests.support.commands import ROOT
from tests.support.waiting import until

DEPLOYMENTS = ROOT / "deployments"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"folders", "bucket"}
OURS = f"regioncap:{regioncap.__version__}"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_and_health_checked(name: str) -> None:
    service = SERVICES[name]
    image, _, tag = service["image"].rpartition(":")
    assert image
    assert re.search(r"\d", tag), "a version"
    assert ("healthcheck" in service) != (name in ONE_SHOT)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_what_waits_for_what_is_there_and_can_be_waited_for() -> None:
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            ends = wanted["condition"] == "service_completed_successfully"
            assert ends == (name in ONE_SHOT)
        volumes = [volume.partition(":")[0] for volume in service.get("volumes", [])]
        assert {volume for volume in volumes if not volume.startswith(".")} <= COMPOSE["volumes"].keys()
        for volume in volumes:
            assert not volume.startswith(".") or (DEPLOYMENTS / volume).exists()


def test_secrets_are_the_users_own() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", (DEPLOYMENTS / "compose.yaml").read_text()))
    lines = [line for line in (DEPLOYMENTS / "example.env").read_text().splitlines() if not line.startswith("#")]
    given = dict(line.split("=", 1) for line in lines)
    assert wanted == given.keys()
    assert {name: value for name, value in given.items() if value} == {"VLLM_MODEL": "Qwen/Qwen2.5-VL-7B-Instruct"}
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_every_file_names_the_same_image() -> None:
    found = {service["image"] for service in SERVICES.values() if service["image"].startswith("regioncap")}
    described = yaml.safe_load((DEPLOYMENTS / "prefect.yaml").read_text())["deployments"]
    found |= {one["work_pool"]["job_variables"]["image"] for one in described if "job_variables" in one["work_pool"]}
    found |= set(re.findall(r"regioncap:[\d.]+\d", (DEPLOYMENTS / "Dockerfile").read_text()))
    assert found == {OURS}


def test_the_image_has_what_it_copies_and_no_root() -> None:
    lines = (DEPLOYMENTS / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    names = {name for group in copied for name in group}
    assert all((ROOT / name).exists() for name in names)
    # .dockerignore leaves out all but what is named.
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert names == let_in
    assert [line for line in lines if line.startswith("USER")] == ["USER regioncap"]


# --- in use, after `docker build` as the Dockerfile says


def docker(*command: str) -> str:
    done = subprocess.run(["docker", *command], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    if shutil.which("docker") is None:
        pytest.skip("no docker")
    if subprocess.run(["docker", "image", "inspect", OURS], capture_output=True, timeout=60).returncode:
        pytest.skip(f"no Docker engine, or no image {OURS} there; it is built where Docker Hub can be reached")
    return OURS


@pytest.mark.parametrize("user", ["10001:10001", "4321:4321"])
def test_a_run_in_a_container_as_any_user(image: str, user: str, project: Path) -> None:
    # Mounted read-only: what another user wrote there, pytest could not remove.
    project.chmod(0o755)
    run = "regioncap run /in/photos.jsonl --captioner pixels --output /tmp/out.jsonl --cache-path /tmp/cache >&2"
    given = ["--rm", "--network", "none", "--user", user, "--volume", f"{project}:/in:ro"]
    rows = docker("run", *given, image, "sh", "-c", f"{run} && cat /tmp/out.jsonl")
    assert len(rows.splitlines()) == 6


def test_the_images_server_shows_its_pages(image: str) -> None:
    name = docker("run", "--detach", "--network", "none", image, "prefect", "server", "start")
    look = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:4200/').read(100))"

    def page() -> str:
        return subprocess.run(["docker", "exec", name, "python", "-c", look], capture_output=True, text=True).stdout

    try:
        assert "<!DOCTYPE html>" in until(page, every=1)
    finally:
        docker("rm", "--force", "--volumes", name)
