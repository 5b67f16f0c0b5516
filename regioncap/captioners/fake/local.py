"""Personas of servers that people run themselves, and of models there. Facts from documentation and public reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from regioncap.captioners.fake.errors import ScriptedResponse, openai_error
from regioncap.captioners.fake.persona import Persona

VLLM = Persona(
    "vLLM from 0.11 on: structured_outputs, no word about fields that it does not know, a queue in its metrics",
    enforces=("regex", "json_schema"),
    metrics="vllm",
    errors={"503": openai_error(503, "The engine is overloaded", "ServiceUnavailableError", 503)},
)
LLAMA_CPP = Persona(
    "llama.cpp's server: 503 while it loads, unknown fields ignored, JSON schemas",
    errors={
        "loading": openai_error(503, "Loading model", "unavailable_error", 503),
        "context": openai_error(
            400, "the request exceeds the available context size", "exceed_context_size_error", 400
        ),
        "429": openai_error(503, "no slot is available", "unavailable_error", 503),
    },
    wait="none",
    metrics="llamacpp",
)
_THINKS = replace(VLLM, enforces=(), thinking=64, reasoning="tags")

LOCAL: Mapping[str, Persona] = {
    "vllm": VLLM,
    "vllm-0.10": replace(VLLM, imitates="vLLM before 0.11: guided_regex at the top", enforces=("guided_regex",)),
    "vllm-one-image": replace(VLLM, imitates="vLLM with --limit-mm-per-prompt of one image", max_images=1),
    "vllm-reasoning": replace(
        VLLM,
        imitates="vLLM with a reasoning parser: a field reasoning, and only the answer is held to the form",
        thinking=64,
        reasoning="reasoning",
    ),
    "vllm-thinking": replace(
        _THINKS,
        imitates="a thinking model on vLLM without a parser: a think block before the answer, no form enforced",
    ),
    "vllm-unopened": replace(
        _THINKS,
        imitates="the same where the chat template writes <think>: the opening tag is missing (DeepSeek R1, QwQ)",
        open="",
    ),
    "sglang": replace(
        VLLM,
        imitates="SGLang: regex at the top of the request, JSON schemas, metrics of its own names",
        enforces=("sglang_regex", "json_schema"),
        metrics="sglang",
    ),
    "tgi": Persona(
        "Text Generation Inference: finish_reason eos_token, errors as a text and a type",
        enforces=(),
        dress="bold",
        stop="eos_token",
        errors={
            "429": ScriptedResponse({"error": "Model is overloaded", "error_type": "overloaded"}, 429),
            "context": ScriptedResponse({"error": "Input validation error: {detail}", "error_type": "validation"}, 422),
        },
        wait="none",
    ),
    "ollama": Persona(
        "Ollama before 0.5: no form is enforced, requests wait while a model loads, it works on when a client has gone",
        enforces=(),
        errors={
            "429": openai_error(503, "server busy, please try again.  maximum pending requests exceeded", "api_error"),
            "model": openai_error(404, 'model "{value}" not found, try pulling it first', "api_error"),
            "path": ScriptedResponse("404 page not found", 404),
        },
        wait="none",
        waits_to_load=True,
    ),
    "llamacpp": LLAMA_CPP,
    "llamacpp-text": replace(
        LLAMA_CPP, imitates="llama.cpp's server without --mmproj: a picture is an error 500", refuses="blind"
    ),
    "lmstudio": Persona(
        "LM Studio, since 2025: unknown paths get 200 with an error, of response_format only json_schema",
        formats=("text", "json_schema"),
        errors={
            "path": ScriptedResponse({"error": "Unexpected endpoint or method. ({path})"}),
            "value": ScriptedResponse({"error": "'response_format.type' must be 'json_schema' or 'text'"}, 400),
        },
        wait="none",
    ),
    "gpt-oss": Persona(
        "gpt-oss without a parser, since 2025: channel markers around reasoning and answer",
        enforces=(),
        thinking=64,
        reasoning="tags",
        open="<|channel|>analysis<|message|>",
        close="<|end|><|start|>assistant<|channel|>final<|message|>",
        after="<|return|>",
    ),
    "glm": Persona(
        "GLM-4.1V and 4.5V: a think block, and box tokens around the answer",
        enforces=(),
        thinking=64,
        reasoning="tags",
        before="<|begin_of_box|>",
        after="<|end_of_box|>",
    ),
    "gemma": Persona(
        "Gemma 3 where the end of the turn is left in the text", enforces=(), dress="numbered", after="<end_of_turn>"
    ),
    "chinese": Persona(
        "Qwen and InternVL that write labels in Chinese", enforces=(), dress="chinese", after="<|im_end|>"
    ),
    "chatty": Persona("small models that greet and take leave around a list", enforces=(), dress="bullets"),
    "fenced": Persona("models that wrap JSON in prose and a code fence", enforces=(), dress="fenced"),
}
"""By name."""
