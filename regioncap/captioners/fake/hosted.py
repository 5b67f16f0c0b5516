"""Personas of providers and of what stands before servers. Facts from their documentation and public reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from regioncap.captioners.fake.errors import Errors, ScriptedResponse, openai_error, page
from regioncap.captioners.fake.local import VLLM
from regioncap.captioners.fake.persona import Persona

OPENAI_FIELDS = frozenset(
    {
        "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "stop", "seed",
        "frequency_penalty", "presence_penalty", "response_format", "reasoning_effort", "stream", "stream_options",
        "tools", "tool_choice", "user", "logprobs", "top_logprobs", "metadata", "service_tier", "store", "verbosity",
    }
)  # fmt: skip
GEMINI_FIELDS = OPENAI_FIELDS - {"seed", "frequency_penalty", "presence_penalty", "metadata", "store", "verbosity"}
MISTRAL_FIELDS = OPENAI_FIELDS - {"max_completion_tokens", "seed", "reasoning_effort", "store", "user", "logprobs"} | {
    "random_seed", "safe_prompt", "prompt_mode",
}  # fmt: skip


def _azure(status: int, code: str, message: str, inner: object = None) -> ScriptedResponse:
    error = {"code": code, "message": message, "status": status, "innererror": inner}
    return ScriptedResponse({"error": error}, status)


def _gemini(code: int, message: str, status: str, *details: dict[str, str]) -> ScriptedResponse:
    error = {"code": code, "message": message, "status": status}
    return ScriptedResponse([{"error": {**error, "details": list(details)} if details else error}], code)


def _mistral(status: int, message: object, kind: str, code: int | None = None) -> ScriptedResponse:
    return ScriptedResponse({"object": "error", "message": message, "type": kind, "param": None, "code": code}, status)


def _openrouter(status: int, message: str, **metadata: object) -> ScriptedResponse:
    return ScriptedResponse({"error": {"message": message, "code": status, "metadata": metadata}}, status)


def _litellm(status: int, message: str, kind: str | None = None) -> ScriptedResponse:
    ending = "Received Model Group={model}\nAvailable Model Group Fallbacks=None LiteLLM Retried: 2 times"
    error = {"message": f"litellm.{message}. {ending}", "type": kind, "param": None, "code": str(status)}
    return ScriptedResponse({"error": error}, status)


_OF_OPENAI: Errors = {
    "429": openai_error(
        429, "Rate limit reached for {model} on requests per min (RPM). Please try again in {retry}s.", "requests",
        "rate_limit_exceeded",
    ),
    "500": openai_error(500, "The server had an error while processing your request.", "server_error"),
    "503": openai_error(503, "The engine is currently overloaded, please try again later", "service_unavailable"),
}  # fmt: skip
_OF_AZURE: Errors = {
    "429": _azure(429, "429", "Requests have exceeded the call rate limit. Please retry after {retry} seconds."),
    "policy": _azure(
        400, "content_filter", "The response was filtered due to the prompt triggering the content management policy.",
        {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
        },
    ),
    "key": _azure(401, "401", "Access denied due to invalid subscription key or wrong API endpoint."),
    "model": _azure(404, "DeploymentNotFound", "The API deployment for this resource does not exist."),
    "path": _azure(404, "404", "Resource not found"),
}  # fmt: skip
_OF_OPENROUTER: Errors = {
    "429": _openrouter(429, "Rate limit exceeded: free-models-per-min"),
    "502": _openrouter(502, "Provider returned error", provider_name="Some", raw="upstream error"),
    "503": _openrouter(503, "No instances available"),
    "credits": _openrouter(402, "Insufficient credits. Add more and retry the request."),
    "policy": _openrouter(403, "Input was flagged", reasons=["violence"], flagged_input="…", provider_name="Some"),
    "key": _openrouter(401, "No auth credentials found"),
    "model": _openrouter(400, "{value} is not a valid model ID"),
}
_BAD = "INVALID_ARGUMENT"
_OF_GEMINI: Errors = {
    "429": _gemini(
        429,
        "You exceeded your current quota, please check your plan and billing details. * Quota exceeded for metric: "
        "generate_requests_per_minute, limit: 10\nPlease retry in {retry}s.",
        "RESOURCE_EXHAUSTED",
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "{retry}s"},
    ),
    "500": _gemini(500, "An internal error has occurred.", "INTERNAL"),
    "503": _gemini(503, "The model is overloaded. Please try again later.", "UNAVAILABLE"),
    "field": _gemini(400, 'Invalid JSON payload received. Unknown name "{field}": Cannot find field.', _BAD),
    "key": _gemini(400, "API key not valid. Please pass a valid API key.", _BAD),
    "model": _gemini(404, "models/{value} is not found for API version v1main.", "NOT_FOUND"),
    "credits": _gemini(402, "Your prepaid credits are used up.", "FAILED_PRECONDITION"),
}  # fmt: skip
_EXTRA = {"type": "extra_forbidden", "loc": ["body", "{field}"], "msg": "Extra inputs are not permitted"}
_OF_MISTRAL: Errors = {
    "field": _mistral(422, {"detail": [_EXTRA]}, "invalid_request_error"),
    "value": _mistral(422, "{detail}", "invalid_request_error"),
    "429": _mistral(429, "Rate limit exceeded", "rate_limited", 1300),
    "503": _mistral(503, "Service unavailable", "internal_server_error", 3505),
    "model": _mistral(400, "Invalid model: {value}", "invalid_model", 1500),
    "key": ScriptedResponse({"detail": "Unauthorized"}, 401),
}
_OF_LITELLM: Errors = {
    "429": _litellm(429, "RateLimitError: RateLimitError: OpenAIException - Too many requests", "throttling_error"),
    "500": _litellm(500, "InternalServerError: InternalServerError: OpenAIException - Internal Server Error"),
    "503": _litellm(503, "ServiceUnavailableError: ServiceUnavailableError: OpenAIException - overloaded"),
    "policy": _litellm(400, "BadRequestError: litellm.ContentPolicyViolationError: AzureException - filtered"),
    "credits": _litellm(429, "RateLimitError: OpenAIException - You exceeded your current quota"),
    "key": openai_error(401, "Authentication Error, Invalid proxy server token passed.", "auth_error", "401", "None"),
    "model": openai_error(400, "/chat/completions: Invalid model name passed in model={value}.", "None", "400", "None"),
}
_NOT_SUPPORTED = {"max_tokens": " Use 'max_completion_tokens' instead.", "top_p": "", "frequency_penalty": "",
                  "presence_penalty": "", "stop": ""}  # fmt: skip

OPENAI = Persona(
    "OpenAI's GPT-4o and its kin: refuses unknown fields, JSON schemas, waits in headers and messages",
    fields=OPENAI_FIELDS,
    errors=_OF_OPENAI,
    wait="reset",
    batches=True,
)

HOSTED: Mapping[str, Persona] = {
    "openai": OPENAI,
    "openai-reasoning": replace(
        OPENAI,
        imitates="OpenAI's o-series and GPT-5, since 2024-12: max_completion_tokens only, temperature 1 only, hidden "
        "reasoning",
        unsupported={
            name: f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
            for name, hint in _NOT_SUPPORTED.items()
        },
        flags="--temperature -1",
        temperature=(1.0, 1.0),
        thinking=192,
    ),
    "openai-restricted": replace(
        OPENAI, imitates="an OpenAI key restricted to chat: the list of models is forbidden (403)", list_refused=True
    ),
    "azure": replace(
        OPENAI,
        imitates="Azure OpenAI's deployments: header api-key, ?api-version=, no list of models, content filters",
        flags="--request-query api-version=2024-10-21 --request-headers 'api-key: env:AZURE_KEY'",
        prefix="/openai/deployments/{model}",
        auth="api-key",
        query=("api-version",),
        batches=False,
        lists="",
        wait="milliseconds",
        errors={**_OF_OPENAI, **_OF_AZURE},
    ),
    "openrouter": Persona(
        "OpenRouter: blanks before the JSON keep connections open, errors within a 200, 402 without credit, 403 for "
        "flagged input",
        prefix="/api/v1",
        padding="\n         \n         \n",
        wait="reset-epoch",
        errors=_OF_OPENROUTER,
    ),
    "gemini": Persona(
        "Gemini's compatible endpoint, 2.5 and later: a list around errors, refuses unknown fields, retryDelay in the "
        "body, thinking counts against max_tokens",
        prefix="/v1beta/openai",
        fields=GEMINI_FIELDS,
        thinking=160,
        lists="models/{model}",
        wait="none",
        errors=_OF_GEMINI,
    ),
    "mistral": Persona(
        "Mistral's platform: 422 for unknown fields, max_tokens only, ends model_length and error, temperature to 1.5",
        fields=MISTRAL_FIELDS,
        temperature=(0.0, 1.5),
        errors=_OF_MISTRAL,
        wait="none",
    ),
    "magistral": Persona(
        "Mistral's reasoning models, since 2025: the content is a list of parts, and the reasoning one of them",
        fields=MISTRAL_FIELDS,
        temperature=(0.0, 1.5),
        thinking=64,
        reasoning="part",
        errors=_OF_MISTRAL,
        wait="none",
    ),
    "deepseek": Persona(
        "DeepSeek's platform: blank lines while it works, reasoning_content, 402, insufficient_system_resource",
        enforces=(),
        formats=("text", "json_object"),
        thinking=64,
        reasoning="reasoning_content",
        padding="\n\n\n\n",
        errors={
            "credits": openai_error(402, "Insufficient Balance", "unknown_error", "invalid_request_error"),
            "503": openai_error(503, "The server is overloaded", "service_unavailable_error"),
        },
        wait="none",
    ),
    "huggingface-endpoint": Persona(
        "a Hugging Face endpoint that scales to zero: 503 with an estimated time while it starts",
        enforces=(),
        dress="headings",
        errors={
            "loading": ScriptedResponse({"error": "Model {model} is loading", "estimated_time": "{retry}"}, 503),
            "503": ScriptedResponse({"error": "Service Unavailable"}, 503),
            "credits": ScriptedResponse({"error": "You have exceeded your monthly included credits."}, 402),
        },
        wait="none",
    ),
    "cloudflare": replace(
        OPENAI,
        imitates="a provider behind Cloudflare: 524 after 100 s, other errors in HTML",
        errors={
            "429": page(429, "error code: 1015"),
            "500": page(520, "Web server is returning an unknown error"),
            "502": page(502, "Bad gateway | Cloudflare"),
            "503": page(503, "error code: 1105"),
        },
    ),
    "nginx-in-front": replace(
        VLLM,
        imitates="vLLM behind nginx with its defaults: 413 above 1 MB, 502 and 504 in HTML",
        max_body=1_000_000,
        errors={"429": page(429, "Too Many Requests"), "503": page(503, "Service Temporarily Unavailable")},
    ),
    "litellm": replace(
        VLLM,
        imitates="LiteLLM's proxy before vLLM: errors are wrapped in texts, codes are texts",
        metrics="",
        errors=_OF_LITELLM,
    ),
    "stream-only": Persona(
        "models that DashScope serves as streams only, since 2025 (QwQ, QVQ): every other request is refused",
        refuses="stream",
        enforces=(),
    ),
}
"""By name."""
