"""What a server calls things, and what it allows: learned from its refusals, so that each is met once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEARNABLE_STATUSES = frozenset({400, 422})


@dataclass
class Dialect:
    """How requests must differ from the usual form for one server.

    `temperature`: the configured one; repairs are asked a little warmer. `tokens_name`: of the limit of an answer.
    `warmer`: whether the server takes a higher temperature than the configured one.
    """

    temperature: float | None = None
    tokens_name: str = "max_tokens"
    warmer: bool = True

    def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """`body`, a request's fields in their usual form, in this server's form."""
        applied = {self.tokens_name if name == "max_tokens" else name: value for name, value in body.items()}
        if not self.warmer and applied.get("temperature", 0.0) > (self.temperature or 0.0):
            applied["temperature"] = self.temperature
        return applied

    def learn(self, status: int, text: str, sent: Mapping[str, Any]) -> bool:
        """Learn from the refusal of the request `sent`. Whether it is worth sending it again in the form known now."""
        if status not in LEARNABLE_STATUSES:
            return False
        if "max_tokens" in sent and "max_completion_tokens" in text:
            self.tokens_name = "max_completion_tokens"
            return True
        # Also of one that was on its way when another one's refusal was met.
        if re.search("temperature", text, re.IGNORECASE) and self._warmed(sent):
            self.warmer = False
            return True
        return False

    def _warmed(self, sent: Mapping[str, Any]) -> bool:
        return self.temperature is not None and sent.get("temperature", 0.0) > self.temperature
