"""What gives access to a model server. Nothing here is ever shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Access:
    """What a server is sent with every request to be allowed to answer.

    `headers`, `query`: by name. `secrets`: those of their values, or parts of them, that nobody may see.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def with_key(self, key: str | None) -> Access:
        """With `key` as a bearer token, if there is one."""
        if not key:
            return self
        return Access({**self.headers, "Authorization": f"Bearer {key}"}, self.query, (*self.secrets, key))
