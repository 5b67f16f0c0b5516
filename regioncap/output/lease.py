"""A run's lease on its output: two runs for one output at a time would undo each other's work.

It lies beside the output, hidden, and goes with the run: runs with different caches, and on different machines, meet
there and nowhere else. Whatever spelling of an output leads to the same files leads to the same lease. A run takes it
before it asks for, or writes, the first thing: one that finds everything done needs none.
"""

from __future__ import annotations

from pathlib import Path

from regioncap.errors import OutputInUse
from regioncap.output.join import redacted_config
from regioncap.output.outputs import outputs_at
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Place, path_of
from regioncap.storage.holders import Holder, LeaseHeld
from regioncap.storage.leases import Lease, acquire
from regioncap.storage.runs import entry_place, register_start
from regioncap.storage.store_lease import UNKNOWN


def lease_place(output: Place) -> Place:
    """Where the lease on an output lies."""
    if output.is_local and not output.address.endswith("/"):
        output = output.files.place(str(Path(path_of(output)).resolve()))  # it may be a link to another output
    return outputs_at(output).lease


def hold_output(context: RunContext) -> None:
    """Take the lease, unless this run has it, until the context is closed; and register the run's settings.

    Raises OutputInUse when another run has the output, StorageError when nothing can be written there.
    """
    if context.lease is None:
        context.lease = _acquire(context)
        config = context.config
        entry = entry_place(context.cache, config.file_name_prefix, config.output)
        register_start(entry, context.output.url, redacted_config(config))


def check_still_held(context: RunContext) -> None:
    """As `hold_output`, and sees that no other has taken the output over since: right before files are replaced.

    Raises OutputInUse, StorageError.
    """
    hold_output(context)
    if context.lease is not None and not context.lease.renew():
        raise OutputInUse(context.output.url, UNKNOWN, lost=True)


def _acquire(context: RunContext) -> Lease:
    def stop() -> None:
        context.lease_lost.set()
        context.stop_sending()

    try:
        return acquire(lease_place(context.output), Holder.here(context.run_name), on_lost=stop)
    except LeaseHeld as held:
        raise OutputInUse(context.output.url, str(held.holder or UNKNOWN)) from None
