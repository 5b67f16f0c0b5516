"""What a user can change when a server refuses: the settings that a server's words point at."""

from __future__ import annotations

import re

ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"enable_thinking",
        """Send what it expects with --request-body '{"enable_thinking": false}'.""",
    ),
    (
        r"mmproj|(?:image|vision|multi-?modal)\w*(?: \w+){0,3} (?:is |are )?(?:not|only) (?:supported|enabled|allowed)"
        r"|(?:not|n't) (?:support|accept|process|handle)\w*(?: \w+){0,3} (?:image|vision|multi-?modal)"
        r"|(?:not|isn't) a (?:multi-?modal|vision)|support image input|content must be a string|expected a string",
        "The model there takes no pictures: name a vision-language model with --model, or start the server with its "
        "vision part (llama.cpp: --mmproj FILE).",
    ),
    (
        r"(?:at most|only|maximum of|up to|more than|limit of) (?:1|one) image|(?:multiple|too many|number of) images",
        "The server takes one picture a request: set --prompt-mode marks and no --repair-flags, or have it take two "
        """(vLLM: --limit-mm-per-prompt '{"image": 2}').""",
    ),
    (
        r"(?:only|must|requires?|needs?)\b.{0,40}\bstream|stream\w*\b.{0,20}\b(?:only|required|must be)",
        "This model answers only as a stream, which RegionCap does not read: name another model with --model.",
    ),
    (r"temperature", "Set --temperature -1, which sends none, or a value that the server allows."),
    (
        r"\b(top_p|top_k|repetition_penalty|seed)\b",
        r"Leave the setting \1 out; the server takes no such value.",
    ),
    (r"api.version", "Set it with --request-query api-version=…"),
    (
        r"context (?:length|window|size)|maximum context|(?:prompt|input|request) (?:is |was )?too long|n_ctx|num_ctx"
        r"|exceeds?\b.{0,40}\btokens|too many tokens",
        "Lower --max-pixels, --max-tokens or --max-boxes, or give the server a longer context.",
    ),
    (r"max_(?:completion_|new_)?tokens", "Lower --max-tokens to what the server allows."),
    (
        r"^413\b|too large|payload|entity|body size",
        "Lower --max-pixels, or raise the limit of the server or of the proxy before it (nginx: client_max_body_size).",
    ),
    (
        r"credit|quota|billing|balance|payment|insufficient funds",
        "Add credit to the account, or use another key.",
    ),
    (
        r"(?:model|deployment)\b.{0,80}\b(?:not found|not exist|n't exist|unknown|invalid|not supported|unavailable)"
        r"|(?:no such|unknown|invalid) model|deploymentnotfound|model_not_found",
        "Correct --model.",
    ),
    (
        r"response_format|json_schema|structured_outputs|guided|grammar|additional propert|unknown (?:field|name)"
        r"|extra (?:inputs|fields)|unrecognized",
        "Leave out what it does not know: --structure none, and no --request-body, --top-k or --repetition-penalty.",
    ),
    (
        r"system (?:role|message|prompt)|developer instruction",
        "Send no system prompt: --system-prompt ''.",
    ),
    (
        r"api.?key|no connected db|unauthori[sz]ed|authenticat|permission|forbidden|access denied",
        "Set the key in REGIONCAP_API_KEY or OPENAI_API_KEY, or say where it is with --api-keys (env:VARIABLE or "
        "block:NAME).",
    ),
)
"""(what a server says, as a pattern in any case; what to change), the most telling first."""

SEARCHED_CHARS = 1000


def advice_for(text: str) -> str:
    """What to change when a server says `text`; "" when the words point at nothing.

    >>> advice_for("400: Unsupported value: 'temperature' does not support 0 with this model.")
    'Set --temperature -1, which sends none, or a value that the server allows.'
    """
    for pattern, advice in ADVICE:
        match = re.search(pattern, text[:SEARCHED_CHARS], re.IGNORECASE)
        if match is not None:
            return match.expand(advice) if match.re.groups else advice
    return ""
