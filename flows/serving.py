"""The deployments of a prefect.yaml from one process, without a work pool and a worker: `regioncap serve`.

Their names end in `-served`. With those of `prefect deploy` they would be the same deployments, whichever command came
last, and the process and the workers would take each other's runs.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml
from prefect import serve
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron, Schedule

from regioncap.errors import UsageError

SUFFIX = "-served"

logger = logging.getLogger("regioncap")


def deployments_of(path: Path) -> tuple[list[RunnerDeployment], list[str]]:
    """(the deployments in the prefect.yaml at `path` that a process can serve, the names of those for an image).

    Raises UsageError when the file is missing or is no prefect.yaml.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        described = [dict(deployment) for deployment in found["deployments"]]
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror or error}; expected a prefect.yaml, such as deployments/prefect.yaml of the "
            "repository; name it with --file"
        ) from None
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path}: expected a prefect.yaml with deployments, got something else: {error}") from None
    elsewhere = [str(one["name"]) for one in described if "image" in _job_variables(one)]
    return [_deployment(one) for one in described if one["name"] not in elsewhere], elsewhere


def _job_variables(described: dict[str, Any]) -> dict[str, Any]:
    return (described.get("work_pool") or {}).get("job_variables") or {}


def _deployment(described: dict[str, Any]) -> RunnerDeployment:
    limit = described.get("concurrency_limit")
    return RunnerDeployment.from_entrypoint(
        described["entrypoint"],
        described["name"] + SUFFIX,
        description=described.get("description"),
        parameters=described.get("parameters") or {},
        tags=described.get("tags") or [],
        schedules=[_schedule(schedule) for schedule in described.get("schedules") or []],
        concurrency_limit=ConcurrencyLimitConfig(**limit) if isinstance(limit, dict) else limit,
    )


def _schedule(described: dict[str, Any]) -> Schedule:
    if "cron" not in described:
        raise UsageError(f"expected a schedule with cron, got {described}; use `prefect deploy` for other schedules")
    return Cron(
        described["cron"], timezone=described.get("timezone"), active=described.get("active", True),
        slug=described.get("slug"),
    )  # fmt: skip


def serve_file(path: Path) -> list[str]:
    """Serve the deployments of `deployments_of` until Ctrl-C. Returns the names of those that were not served.

    Raises UsageError when there is none to serve.
    """
    deployments, elsewhere = deployments_of(path)
    if not deployments:
        raise UsageError(f"{path}: has no deployment that a process can serve; {', '.join(elsewhere)} run in an image")
    with get_client(sync_client=True) as client:
        for deployment in deployments:
            leave_schedule_to_workers(deployment, client)
    serve(*deployments)
    return elsewhere


def leave_schedule_to_workers(deployment: RunnerDeployment, client: SyncPrefectClient) -> None:
    """Make the schedules inactive of a deployment that is also deployed for workers, with a schedule that is active:
    else every run would be due twice."""
    name = deployment.name.removesuffix(SUFFIX)
    try:
        deployed = client.read_deployment_by_name(f"{deployment.flow_name}/{name}")
    except ObjectNotFound:
        return
    if deployment.schedules and not deployed.paused and any(schedule.active for schedule in deployed.schedules):
        logger.warning(
            "%s: its schedule is inactive, since the workers of %s run that of %s", deployment.name,
            deployed.work_pool_name, name,
        )  # fmt: skip
        for schedule in deployment.schedules:
            schedule.active = False
