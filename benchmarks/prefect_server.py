"""A Prefect server for the time of a benchmark, with the settings that `regioncap run` gives its own.

To be imported before Prefect, which reads its settings when it is imported.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from regioncap.command.prefect_env import prepare_prefect

prepare_prefect(quiet=True)
logging.getLogger("regioncap").setLevel(logging.WARNING)


@contextmanager
def prefect_server() -> Iterator[str]:
    """A server with a new database, which flows of this process use; gives its API's URL."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield str(PREFECT_API_URL.value())
