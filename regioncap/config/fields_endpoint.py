"""The settings of endpoints: keys, headers, certificates, and what else a server wants in requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from regioncap.config.fields_captions import CaptionSettings
from regioncap.config.fields_find import Names
from regioncap.config.fields_input import JsonObject
from regioncap.config.request_parts import as_lines
from regioncap.config.roles import setting

HeaderLines = Annotated[tuple[str, ...], BeforeValidator(lambda value: as_lines(value, ": "))]
QueryLines = Annotated[tuple[str, ...], BeforeValidator(lambda value: as_lines(value, "="))]


class EndpointSettings(CaptionSettings):
    """Those of the captions, and how endpoints are reached."""

    # --- endpoints
    api_keys: Names = setting(
        (),
        "API keys",
        "Where the endpoints' keys are: env:VARIABLE or block:NAME (a Prefect Secret block); one for all endpoints, or "
        "one for each in their order.",
        "place",
        read_by=("secrets",),
        heading="Captions",
    )
    request_headers: HeaderLines = setting(
        (),
        "Request headers",
        "Further headers for the endpoint: 'api-key: env:AZURE_KEY'. Credentials must be named, as env:VARIABLE or "
        "block:NAME (a Prefect Secret block).",
        "place",
        read_by=("secrets",),
        heading="Captions",
    )
    request_query: QueryLines = setting(
        (),
        "Request query",
        "Query parameters for the endpoint: api-version=2024-10-21. Credentials as in `request_headers`.",
        "place",
        read_by=("secrets",),
        heading="Captions",
    )
    request_body: JsonObject = setting(
        {},
        "Request body",
        'Further fields of every chat request, as JSON: {"reasoning_effort": "low"}. Changing it requests new '
        "captions.",
        "words",
        read_by=("identity", "secrets"),
        when=lambda config: bool(config.request_body),
    )
    ca_file: str | None = setting(
        None,
        "CA file",
        "PEM file with the certificate of the authority that signed the endpoint's, or with the endpoint's own. "
        "Default: the authorities that this machine trusts.",
        "place",
        read_by=("path",),
        heading="Captions",
    )
