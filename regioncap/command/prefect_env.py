"""Prefect for people who need not know of it: its settings, and its own server where they have none."""

from __future__ import annotations

import os
from pathlib import Path

from regioncap.errors import UsageError
from regioncap.process import no_proxy_for_loopback
from regioncap.run.prefect_defaults import OWN_SERVER

NO_TELEMETRY = {"DO_NOT_TRACK": "1"}

QUIET = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    # Tracebacks of its server's libraries, such as SQLAlchemy's when a busy server is ended.
    "PREFECT_LOGGING_ROOT_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
}
"""Prefect's log is for those who run Prefect; here errors come as messages."""


def prepare_prefect(*, quiet: bool) -> None:
    """Set what a command needs of Prefect, before Prefect is imported; what the environment says stays as it is,
    but that its proxy gets nothing that is for this machine itself."""
    for name, value in (OWN_SERVER | NO_TELEMETRY | (QUIET if quiet else {})).items():
        os.environ.setdefault(name, value)
    os.environ.update(no_proxy_for_loopback())


def check_prefect_home() -> None:
    """Raises UsageError when Prefect's own server would have nowhere to put its database: Prefect would wait for it for
    minutes, and not say why."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    if os.environ.get("PREFECT_API_URL") or (home / "profiles.toml").is_file():
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(home, os.W_OK) else "Permission denied"
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise UsageError(
            f"PREFECT_HOME: Prefect cannot write to {home} ({problem}); set PREFECT_HOME to a folder of yours, or "
            "PREFECT_API_URL to the server to use"
        )
