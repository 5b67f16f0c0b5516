"""The limits of a run whose rows are captioned by several processes: one for all of them, whichever needs it.

In the run's own process, which grants each of the others what it can use in the moment (`captioners.allowance`): slots
by max-min fairness, requests in small lots out of one budget, which is the same that a single process goes by. What a
process does not use is taken back. What is granted is counted as used until the process says how much of it was: so a
limit is never exceeded, whatever becomes of a process. Of one that is lost, the lot that it held counts as used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from regioncap.captioners.allowance import Allowance, Use
from regioncap.captioners.budget import Budget
from regioncap.config.model import RegionCapConfig
from regioncap.records import Counts

REQUEST_LIMITS = ("requests_per_minute", "tokens_per_minute", "max_requests", "max_usd")


@dataclass
class _Process:
    """What one process was granted, and had made of it when it was last asked. `lately`: requests that it sent between
    the last two times."""

    requests: int = 0
    in_flight: int = 0
    use: Use = field(default_factory=Use)
    lately: int = 0

    @property
    def unused(self) -> int:
        return self.requests - self.use.requests


class SharedLimits:
    """See the module's text. Used from one thread at a time; times in seconds."""

    def __init__(self, config: RegionCapConfig) -> None:
        self._budget = Budget.of(config, count=lambda counts: None)
        self._limits_requests = any(getattr(config, name) is not None for name in REQUEST_LIMITS)
        self._max_in_flight = config.max_in_flight
        self._processes: dict[str, _Process] = {}
        self._lost = 0
        """Requests of lost processes that may have been sent, and were not answered."""

    def spend(self, counts: Counts) -> None:
        """Count what came to any of the processes since it was last told."""
        self._budget.record_elsewhere(counts)

    def report(self, process: str, use: Use) -> None:
        """Take note of what a process has made of its allowance, unless it was lost meanwhile."""
        known = self._processes.get(process)
        if known is None:
            return
        self._budget.reserved -= known.requests - use.granted_requests
        known.lately = use.requests - known.use.requests
        known.requests, known.in_flight, known.use = use.granted_requests, use.granted_in_flight, use

    @property
    def width(self) -> int:
        """Requests that the servers take at once, over all processes, as far as that is found out."""
        return sum(one.use.width for one in self._processes.values())

    def lose(self, process: str) -> None:
        """A process is gone; what it held of the slots is free."""
        known = self._processes.pop(process, _Process())
        self._lost += known.use.in_flight + known.unused

    def grant(self, process: str, now: float) -> Allowance:
        """What a process may send from now on."""
        known = self._processes.setdefault(process, _Process())
        slots = self._grant_slots(process, known)
        if not self._limits_requests:
            return Allowance(None, slots)
        requests = self._grant_requests(known, slots, now)
        starved = known.use.wanted > 0 and requests <= known.use.requests
        return Allowance(requests, slots, (self._exhausted() or "") if starved else "")

    def _grant_requests(self, known: _Process, slots: int | None, now: float) -> int:
        """The requests that it could send until it is asked again, as far as the limits allow."""
        # One without slots must not keep the last requests from those that have some.
        wanted = known.use.wanted if slots is None else min(known.use.wanted, max(0, slots - known.use.in_flight))
        # `lately`: as many slots as became free since the last time will become free until the next.
        useful = known.use.requests + wanted + known.lately
        granted = min(known.requests, useful)
        while granted < useful and self._budget.exceeded_by(self._outstanding()) is None:
            if self._budget.take(now) > 0:
                break
            granted += 1
            known.requests = max(known.requests, granted)
        return granted

    def _outstanding(self) -> int:
        """Requests that were granted and not answered."""
        return self._lost + sum(one.use.in_flight + one.unused for one in self._processes.values())

    def _exhausted(self) -> str | None:
        """Why there would be no request left even if all were given back that are not used; None if there would be."""
        unused = sum(one.unused for one in self._processes.values())
        self._budget.reserved -= unused
        try:
            return self._budget.exceeded_by(self._outstanding() - unused)
        finally:
            self._budget.reserved += unused

    def _grant_slots(self, process: str, known: _Process) -> int | None:
        if self._max_in_flight is None:
            return None
        needs = {name: one.use.in_flight + one.use.wanted for name, one in self._processes.items()}
        share = fair_shares(self._max_in_flight, needs)[process]
        free = self._max_in_flight - sum(one.in_flight for one in self._processes.values())
        granted = min(share, known.in_flight + max(0, free))
        known.in_flight = max(known.in_flight, granted)
        return granted


def fair_shares(total: int, needs: Mapping[str, int]) -> dict[str, int]:
    """`total` shared out by max-min fairness: nobody has more than somebody else who needs more than he has. What
    nobody needs is shared out equally.

    >>> fair_shares(10, {"a": 1, "b": 8, "c": 8})
    {'a': 1, 'b': 4, 'c': 5}
    """
    shares: dict[str, int] = {}
    left = total
    for place, name in enumerate(sorted(needs, key=needs.__getitem__)):
        shares[name] = min(needs[name], left // (len(needs) - place))
        left -= shares[name]
    for place, name in enumerate(shares):
        shares[name] += left // len(shares) + (place < left % len(shares))
    return shares
