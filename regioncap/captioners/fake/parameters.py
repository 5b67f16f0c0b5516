"""What a persona refuses of a request before its model is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regioncap.captioners.fake.model import BadRequest
from regioncap.captioners.fake.persona import Persona


def check_fields(persona: Persona, body: Mapping[str, Any]) -> None:
    """Raises BadRequest for a field or a value that the persona does not take."""
    for name in body:
        if persona.fields is not None and name not in persona.fields:
            raise BadRequest(f"unknown field {name}", "field", field=name)
        if name in persona.unsupported:
            raise BadRequest(persona.unsupported[name], "unsupported", field=name)
    _check_temperature(body.get("temperature"), *persona.temperature)
    form = (body.get("response_format") or {}).get("type", "text")
    if form not in persona.formats:
        detail = f"response_format.type: expected one of {', '.join(persona.formats)}, got {form}"
        raise BadRequest(detail, "value", field="response_format", value=form)


def _check_temperature(temperature: float | None, lowest: float, highest: float) -> None:
    if temperature is None or lowest <= temperature <= highest:
        return
    detail = f"Invalid 'temperature': expected a value from {lowest:g} to {highest:g}, got {temperature:g}."
    if lowest == highest:
        detail = (
            f"Unsupported value: 'temperature' does not support {temperature:g} with this model. "
            f"Only the default ({highest:g}) value is supported."
        )
    raise BadRequest(detail, "value", field="temperature", value=temperature)
