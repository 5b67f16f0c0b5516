"""What a stopped run leaves for the next one, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KeptCaptions:
    """Captions that a rerun takes from the cache. `exact`: false where not all were counted; there may be more."""

    count: int
    exact: bool = True

    @property
    def number(self) -> str:
        """How many, in words."""
        captions = "1 caption is" if self.count == 1 else f"{self.count:,} captions are"
        return captions if self.exact else f"At least {captions}"

    def __str__(self) -> str:
        if not self.count:
            return "No captions are kept yet." if self.exact else "All captions that came are kept and will be reused."
        return f"{self.number} kept and will be reused."


CALL = "Call region_caption with the same settings to resume."
DEPLOYMENT = "Run the deployment again with the same settings to resume."
