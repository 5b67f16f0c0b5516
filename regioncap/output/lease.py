"""A run's lease on its output: two runs for one output at a time would undo each other's work.

It lies beside the output, hidden, and goes with the run: runs with different caches, and on different machines, meet
there and nowhere else. Whatever spelling of an output leads to the same files leads to the same lease.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from regioncap.errors import OutputInUse, Stopped
from regioncap.output.outputs import outputs_at
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Place, path_of
from regioncap.storage.holders import Holder, LeaseHeld
from regioncap.storage.leases import Lease, acquire
from regioncap.storage.store_lease import UNKNOWN


@contextlib.contextmanager
def output_held(context: RunContext, run: str = "") -> Iterator[None]:
    """In this block no other run writes the run's output. Within another such block it holds what that one holds.

    `run`: what people call the run. Raises OutputInUse when another run has the output, or takes it over since this one
    was not heard of for long; StorageError when nothing can be written there.
    """
    if context.lease is not None:
        with _loss_named(context):
            yield
        return
    context.lease = lease = _acquire(context, run)
    try:
        with _loss_named(context):
            yield
    finally:
        context.lease = None
        lease.release()


def _acquire(context: RunContext, run: str) -> Lease:
    def stop() -> None:
        context.lease_lost.set()
        context.stop_sending()

    try:
        return acquire(lease_place(context.output), Holder.here(run), on_lost=stop)
    except LeaseHeld as held:
        raise OutputInUse(context.output.url, str(held.holder or UNKNOWN)) from None


@contextlib.contextmanager
def _loss_named(context: RunContext) -> Iterator[None]:
    try:
        yield
    except Stopped:
        if context.lease_lost.is_set():
            raise _lost(context) from None
        raise


def lease_place(output: Place) -> Place:
    """Where the lease on an output lies."""
    if output.is_local and not output.address.endswith("/"):
        output = output.files.place(str(Path(path_of(output)).resolve()))  # it may be a link to another output
    return outputs_at(output).lease


def check_lease(context: RunContext) -> None:
    """The last thing before files are replaced. Raises OutputInUse when another run has taken the output over."""
    if context.lease is not None and not context.lease.renew():
        raise _lost(context)


def _lost(context: RunContext) -> OutputInUse:
    return OutputInUse(context.output.url, UNKNOWN, lost=True)
