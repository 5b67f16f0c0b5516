"""What Prefect knows of the flow's parameters."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from prefect.utilities.callables import parameters_to_args_kwargs

from regioncap.flows import parameters
from regioncap.flows.region_caption import region_caption


def test_the_flow_checks_its_parameters() -> None:
    schema = region_caption.parameters.model_dump()
    assert schema["required"] == ["config"]
    fields = schema["definitions"]["RegionCapConfig"]["properties"]
    assert fields["max_boxes"]["title"] == "Regions per picture"
    assert set(fields["bbox_format"]["enum"]) == {"xywh", "xyxy", "cxcywh"}
    # A plugin may be named there.
    assert (fields["extractor"]["type"], fields["extractor"].get("enum")) == ("string", None)


@pytest.mark.parametrize(("flow_name", "bound"), [("nightly captions", ["ticket"]), ("another", [])])
def test_a_deployment_of_the_flow_under_another_name_takes_unknown_parameters(
    monkeypatch: pytest.MonkeyPatch, flow_name: str, bound: list[str]
) -> None:
    given: dict[str, Any] = {"config": {}, "ticket": "A-17"}
    monkeypatch.setattr(parameters, "flow_run", SimpleNamespace(flow_name=flow_name, parameters=given))
    flow = region_caption.with_options(name="nightly captions")
    wanted = {name: value for name, value in given.items() if name in ("config", *bound)}
    assert parameters_to_args_kwargs(flow.fn, wanted)[1].keys() == set(bound)
    if not bound:  # that of a flow that calls ours, say
        with pytest.raises(Exception, match="ticket"):
            parameters_to_args_kwargs(flow.fn, given)
