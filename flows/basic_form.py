"""The same flow, for deployments whose run form shows the settings that most runs need; it takes all others as well."""

from __future__ import annotations

import copy
import inspect
from typing import Any, TypeVar

from prefect import Flow
from prefect.utilities.callables import parameter_schema

from regioncap.config.model import BasicForm, RegionCapConfig
from regioncap.flows.region_caption import region_caption as complete

F = TypeVar("F", bound=Flow[..., Any])


def with_form(flow: F, form: type[RegionCapConfig]) -> F:
    """`flow`, for a deployment whose form is that of `form`: what a run does and takes stays the same."""
    shown = copy.copy(flow)
    signature = inspect.signature(flow.fn, eval_str=True)
    parameters = {**signature.parameters, "config": signature.parameters["config"].replace(annotation=form)}
    # Prefect makes a deployment's form from the signature of the flow, and calls its function.
    shown.__signature__ = signature.replace(parameters=[*parameters.values()])  # type: ignore[attr-defined]
    shown.parameters = parameter_schema(shown)
    return shown


region_caption = with_form(complete, BasicForm)
