"""Settings for Prefect where nobody has set it up; what the user's environment or profile says is left as it is."""

from __future__ import annotations

OWN_SERVER = {
    # On a fresh machine it makes its database first, which takes longer than Prefect's own limit of 20 s.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Some 200 lines of tracebacks at its start and end ("database is locked") that mean nothing to a user.
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    # It would report to Prefect's makers what it is used for.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
"""For the server that Prefect starts for a run that finds no other."""
