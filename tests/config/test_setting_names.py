"""Messages for readers who have no command line: settings are called by their names."""

from __future__ import annotations

import pytest

from regioncap.config.checks import NO_CAPTIONER
from regioncap.config.setting_names import by_setting_names

CASES = {
    "Start the server, or correct --endpoint, and rerun": "Start the server, or correct `endpoint`, and rerun",
    "Correct --model.": "Correct `model`.",
    "Set --bbox-format xyxy --bbox-unit 0-1, or --no-box-check if they are right": (
        "Set `bbox_format=xyxy` `bbox_unit=0-1`, or `box_check=false` if they are right"
    ),
    "set --box-size row, which scales": "set `box_size=row`, which scales",
    "set --endpoint http://host:8000/v1. Fix this": "set `endpoint=http://host:8000/v1`. Fix this",
    "set --endpoint to the base URL": "set `endpoint` to the base URL",
    "Set --temperature -1, which": "Set `temperature=-1`, which",
    "Send no system prompt: --system-prompt ''.": "Send no system prompt: `system_prompt=''`.",
    # What is not a setting of ours, and commands, stay.
    "have it take two (vLLM: --limit-mm-per-prompt 2)": "have it take two (vLLM: --limit-mm-per-prompt 2)",
    "see `regioncap serve-model NAME --gpus all`": "see `regioncap serve-model NAME --gpus all`",
    "a---model and x--model": "a---model and x--model",
}


@pytest.mark.parametrize("text", CASES)
def test_flags_become_names(text: str) -> None:
    assert by_setting_names(text) == CASES[text]


def test_the_first_message_of_all() -> None:
    assert by_setting_names(NO_CAPTIONER).partition("choose one: ")[2] == (
        "`model=Qwen/Qwen2.5-VL-7B-Instruct` (starts vLLM on this machine's GPUs), "
        "`endpoint=http://host:8000/v1` `model=NAME` (a running server), "
        "`captioner=pixels` (no model: states only what can be measured)"
    )
