"""The queue of the fake server, as servers report theirs to Prometheus."""

from __future__ import annotations

from regioncap.captioners.fake.stats import Stats

NAMES = {
    "vllm": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    "sglang": ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
    "llamacpp": ("llamacpp:requests_processing", "llamacpp:requests_deferred"),
}
"""(running, waiting) by family."""


def metrics_of(family: str, model: str, stats: Stats) -> str:
    """The text of `GET /metrics`."""
    running, waiting = NAMES[family]
    label = f'{{engine="0",model_name="{model}"}}'
    return f"{running}{label} {stats.running}.0\n{waiting}{label} {stats.waiting}.0\n"
