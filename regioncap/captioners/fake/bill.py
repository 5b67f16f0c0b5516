"""What answers cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Bill:
    """What answers with status 200 cost, in tokens."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        """One more answer."""
        self.requests += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
