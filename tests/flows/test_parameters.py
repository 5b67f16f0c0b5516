"""What Prefect knows of the flow's parameters."""

from __future__ import annotations


def test_the_flow_checks_its_parameters() -> None:
    from regioncap.flows.region_caption import region_caption

    schema = region_caption.parameters.model_dump()
    assert schema["required"] == ["config"]
    fields = schema["definitions"]["RegionCapConfig"]["properties"]
    assert fields["max_boxes"]["title"] == "Regions per picture"
    assert set(fields["extractor"]["enum"]) == {"edges", "canny", "adaptive"}
