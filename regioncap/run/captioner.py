"""The one captioner of a process: made when first needed, closed with the run."""

from __future__ import annotations

import threading
from collections.abc import Callable

from regioncap.captioners.base import Captioner
from regioncap.errors import Stopped


class LazyCaptioner:
    """A captioner that is made when it is first needed, from whichever thread.

    `make`: makes it. `stop`: set when the run ends; none is made after that.
    """

    def __init__(self, make: Callable[[], Captioner], stop: threading.Event) -> None:
        self._make = make
        self._stop = stop
        self._lock = threading.Lock()
        self._captioner: Captioner | None = None

    def get(self) -> Captioner:
        """The captioner. Raises Stopped when the run ended before one was needed, and what making it raises."""
        with self._lock:
            if self._captioner is None:
                if self._stop.is_set():
                    raise Stopped
                self._captioner = self._make()
            return self._captioner

    def stop_sending(self) -> None:
        """Send no more requests; does not wait for those in flight, whose answers are kept as they come."""
        captioner = self._made()
        if captioner is not None:
            captioner.stop_sending()

    def drain(self) -> None:
        """Send no more requests; returns when those in flight have come back and are kept."""
        captioner = self._made()
        if captioner is not None:
            captioner.drain()

    def close(self) -> None:
        """Close the captioner, if it was made; while the run goes on, another is made when needed."""
        # Answers that just came are kept meanwhile, for which the captioner is asked for its model: without the lock.
        captioner = self._made()
        if captioner is not None:
            captioner.close()
        with self._lock:
            if self._captioner is captioner:
                self._captioner = None

    def _made(self) -> Captioner | None:
        with self._lock:
            return self._captioner
