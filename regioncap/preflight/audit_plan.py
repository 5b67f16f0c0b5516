"""What a run's own audit will ask for, at most: some of it may be cached."""

from __future__ import annotations

from dataclasses import dataclass

from regioncap.config.model import RegionCapConfig


@dataclass
class AuditPlan:
    """Counts over the rows with two or more regions, of which `config.audit_rows` are asked about again."""

    config: RegionCapConfig
    eligible: int = 0
    _requests: int = 0
    """To ask about all of them once."""
    _regions: int = 0

    def add(self, regions: int) -> bool:
        """Count a row with this many regions. Returns whether it may be audited."""
        if not self.config.audit_rows or regions < 2:
            return False
        self.eligible += 1
        self._requests += regions if self.config.prompt_mode == "focal" else len(self.config.groups_of(regions))
        self._regions += regions
        return True

    @property
    def rows(self) -> int:
        """How many rows are asked about again."""
        return min(self.eligible, self.config.audit_rows)

    @property
    def requests(self) -> int:
        """In all ways of asking again."""
        return self._scaled(self._requests)

    @property
    def regions(self) -> int:
        """How many captions they ask for."""
        return self._scaled(self._regions)

    def _scaled(self, once: int) -> int:
        return round(once * self.rows / self.eligible) * len(self.config.audit_arms) if self.eligible else 0
