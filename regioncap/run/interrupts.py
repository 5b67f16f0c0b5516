"""The interrupts, Ctrl-C or SIGTERM, that reached a process, whatever became of their exceptions.

Python raises KeyboardInterrupt wherever the main thread happens to be, in the middle of a library too: pydantic makes
an error of its own of one that reaches it while it calls back into Python, and one that reaches a finalizer is printed
and gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from regioncap.errors import PrefectLost


class Interrupts:
    """Those of one block of code; a signal handler tells of them."""

    def __init__(self) -> None:
        self._first: KeyboardInterrupt | None = None

    def came(self, error: KeyboardInterrupt) -> None:
        """One came, and raises `error`. Takes no lock: the thread that is interrupted may hold any."""
        if self._first is None:
            self._first = error

    def any_came(self) -> bool:
        """Whether one came."""
        return self._first is not None

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Raises the interrupt that came where the code in this block raises what may have been made of it: any error
        but PrefectLost, without which the process would not end."""
        try:
            yield
        except PrefectLost:
            raise
        except Exception as error:
            if self._first is not None:
                raise self._first from error
            raise
