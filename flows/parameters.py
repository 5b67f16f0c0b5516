"""The parameters of a flow run: the config, as a model or as plain values, and parameters that the flow does not have.

Prefect refuses a wrong value of the config when a deployment's run is created; what it lets through gets a clear error
here instead of crashing the run.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from prefect.context import FlowRunContext
from prefect.runtime import deployment, flow_run

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.flows.run_name import output_name
from regioncap.records import shorten
from regioncap.run.plain_errors import plain_errors
from regioncap.tasks.run_log import forward_logs_to_prefect
from regioncap.tasks.run_page import show_wrong_settings

P = ParamSpec("P")
R = TypeVar("R")

FLOW_NAME = "region-caption"

logger = logging.getLogger("regioncap")


def checked(flow: Callable[[RegionCapConfig], R]) -> Callable[[RegionCapConfig], R]:
    """`flow` with its parameters checked: unknown ones that are settings are refused, since they were meant to do
    something; others are logged and ignored.

    Raises UsageError, ConfigError.
    """

    @functools.wraps(flow)
    def run(config: RegionCapConfig, **unknown: Any) -> R:
        if deployment.id is not None:
            plain_errors.__enter__()  # and never left: the process is this run's, whose end Prefect logs after this
        try:
            refuse_misplaced(unknown)
            complete = config_from(config)
        except UsageError as error:
            show_wrong_settings(error, output_name(config))
            raise
        if unknown:
            with forward_logs_to_prefect():
                logger.warning("ignored, since the flow has no such parameter: %s", ", ".join(sorted(unknown)))
        return flow(complete)

    return taking_unknown(run, FLOW_NAME)


def taking_unknown(flow: Callable[P, R], flow_name: str) -> Callable[P, R]:
    """`flow`, for a Prefect flow of this name, with a signature that has every parameter which the run in this process
    was given: Prefect binds them to it before it calls anything, and crashes if one is not in it."""

    @functools.wraps(flow)
    def run(*args: P.args, **parameters: P.kwargs) -> R:
        return flow(*args, **parameters)

    signature = inspect.signature(flow, eval_str=True)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in unknown_parameters(flow_name)
        if name not in signature.parameters
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *more])  # type: ignore[attr-defined]
    return run


def unknown_parameters(flow_name: str) -> list[str]:
    """Names of the parameters besides `config` that the deployment's run in this process was given, if it is one of the
    flow of this name: not those of a flow that calls ours."""
    if FlowRunContext.get() is not None or flow_run.flow_name != flow_name:
        return []
    return sorted(name for name in flow_run.parameters or {} if name != "config" and name.isidentifier())


def refuse_misplaced(unknown: Mapping[str, Any]) -> None:
    """Raises UsageError for parameters that are settings, and so belong in `config`."""
    for name, value in unknown.items():
        if name in RegionCapConfig.model_fields:
            shown = "…" if name in RegionCapConfig.fields_read_by("secrets") else shorten(value)
            raise UsageError(f"{name}: settings belong inside config: {{'config': {{'{name}': {shown}, …}}}}")


def config_of_call(config: Any, settings: Mapping[str, Any]) -> RegionCapConfig:
    """The config of a Python call: the settings given by name, over those of `config` where both are given.

    Raises UsageError, ConfigError.
    """
    if config is None:
        return RegionCapConfig(**settings)
    given = config_from(config)
    return RegionCapConfig(**{**given.model_dump(exclude_unset=True), **settings}) if settings else given


def config_from(given: Any) -> RegionCapConfig:
    """The config of a run that was given a model or plain values. Raises UsageError, ConfigError."""
    if isinstance(given, RegionCapConfig):
        RegionCapConfig(**given.model_dump(exclude_unset=True, warnings=False))  # `model_copy(update=…)` checks nothing
        return given
    if isinstance(given, Mapping) and all(isinstance(name, str) for name in given):
        return RegionCapConfig(**given)
    raise UsageError(f"config: expected settings, such as input='photos.jsonl', or a config, got {shorten(given)}")
