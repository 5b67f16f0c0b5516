"""What one process may send, where several processes share the limits of one run.

The keeper of the run's limits (`regioncap.run.shared_limits`) renews each process's allowance several times a second;
the process replies with how much of it is used. What was granted and is not used yet can be taken back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

CHECK_SECONDS = 0.05
"""Until a process that was granted too little looks again."""

LAPSE_SECONDS = 3600.0
"""An allowance that is not renewed for this long is void: whoever granted it is gone."""


@dataclass(frozen=True)
class Allowance:
    """What a process may send. `requests`: how many in all, since the run began; `in_flight`: how many at once; None
    for both: no limit. `over`: why there will be no more, "" as long as there may be."""

    requests: int | None = None
    in_flight: int | None = None
    over: str = ""


ALL = Allowance()
NOTHING = Allowance(0, 0)
"""Of a process that was granted nothing yet."""


@dataclass(frozen=True)
class Use:
    """What a process has made of its allowance, and holds of it: requests sent, requests in flight, requests that it
    could send at once if it were allowed to (`wanted`), requests that its servers take at once (`width`), and the
    requests and slots that it may still count on."""

    requests: int = 0
    in_flight: int = 0
    wanted: int = 0
    width: int = 0
    granted_requests: int = 0
    granted_in_flight: int = 0


class HeldAllowance:
    """The allowance of this process, for any thread. `first`: what it is until another is granted."""

    def __init__(self, first: Allowance = ALL) -> None:
        self.shared = first != ALL
        """Whether other processes send for the same run."""
        self.wanted: Callable[[], int] = lambda: 0
        """How many requests wait that could be sent at once."""
        self.width: Callable[[], int] = lambda: 0
        """How many requests the servers are given at once, as far as that is found out."""
        self._lock = threading.Lock()
        self._allowance = first
        self._granted_at = time.monotonic()
        self._requests = 0
        self._in_flight = 0

    def take(self, *, slot: bool = True) -> bool:
        """Whether one more request may be sent; it counts as sent then. `slot`: it counts as in flight as well, until
        `end`."""
        with self._lock:
            granted = self._allowance
            if granted.requests is not None and self._requests >= granted.requests:
                return False
            if slot and granted.in_flight is not None and self._in_flight >= granted.in_flight:
                return False
            self._requests += 1
            self._in_flight += slot
            return True

    def end(self, *, sent: bool = True) -> None:
        """A request came back, in whatever way; or it was not `sent` after all."""
        with self._lock:
            self._in_flight -= 1
            self._requests -= not sent

    @property
    def in_flight(self) -> int:
        """Requests in flight that hold a slot."""
        return self._in_flight

    @property
    def over(self) -> str:
        """Why nothing more may be sent, in this run; "" as long as something may be."""
        if self.shared and time.monotonic() - self._granted_at > LAPSE_SECONDS:
            return f"nothing has been heard from the run's own process for {LAPSE_SECONDS:.0f} s"
        return self._allowance.over

    def replace(self, allowance: Allowance) -> Use:
        """Go by `allowance` from now on. Gives what it stands at: what was sent by now stays sent."""
        wanted, width = self.wanted(), self.width()
        with self._lock:
            self._allowance, self._granted_at = allowance, time.monotonic()
            return Use(
                self._requests, self._in_flight, wanted, width,
                granted_requests=max(self._requests, allowance.requests or 0),
                granted_in_flight=max(self._in_flight, allowance.in_flight or 0),
            )  # fmt: skip
