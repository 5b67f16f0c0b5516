"""The final state of a deployment's run in Prefect: its message is the outcome; Failed where the command exits with 1.

A run that waits for a provider's batches has done what it can: its state is Waiting, of the type COMPLETED.

A call from Python gets its summary, or its error.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from regioncap.config.setting_names import by_setting_names
from regioncap.errors import RegionCapError, Waiting
from regioncap.output.summary import Summary
from regioncap.report.run_summary import outcome
from regioncap.tasks.run_log import forward_logs_to_prefect

logger = logging.getLogger("regioncap")

F = TypeVar("F", bound=Callable[..., Any])


def ends_in_words(flow: F) -> F:
    """`flow`, which returns the state in which a deployment's run ends."""

    @functools.wraps(flow)
    def run(*args: Any, **parameters: Any) -> Any:
        if not _is_run_of_deployment():
            return flow(*args, **parameters)
        try:
            return state_of(flow(*args, **parameters))
        except Waiting as waiting:
            return Completed(name="Waiting", message=by_setting_names(str(waiting)))
        except RegionCapError as error:  # it says what to do; a bug keeps its traceback
            return failed(error)

    return run  # type: ignore[return-value]


def state_of(summary: Summary) -> Any:
    """The state of a run with this summary."""
    if summary.ok:
        return Completed(message=outcome(summary), data=summary)
    return failed(RegionCapError(outcome(summary)))


def failed(error: RegionCapError) -> Any:
    """The state of a run with this error. Prefect raises it again when the process ends; `plain_errors` hides that."""
    with forward_logs_to_prefect():
        logger.error("%s", error)
    return Failed(message=by_setting_names(str(error)), data=error)


def _is_run_of_deployment() -> bool:
    """Not so for a flow that a deployment's run calls: that is a call from Python."""
    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None
