"""What earlier runs that were killed have left, removed by a later one."""

from __future__ import annotations

import contextlib
import logging

from regioncap.errors import StorageError
from regioncap.output.outputs import outputs_at
from regioncap.run.context import RunContext
from regioncap.storage.leftovers import beside, in_cache, in_temporary_folder
from regioncap.storage.uploads import abort_old_uploads

logger = logging.getLogger("regioncap")


def remove_leftovers(context: RunContext) -> None:
    """Remove the leftovers in the run's cache, in the folder for temporary files and, if this run holds its output,
    beside that. What cannot be removed stays, and stops nothing."""
    folders, stem = outputs_at(context.output).kept_in
    found = [*in_cache(context.cache), *in_temporary_folder()]
    if context.lease is not None:
        requests = [context.files.place(context.config.requests_folder)] if context.config.delivery == "file" else []
        found += beside([*folders, *requests], stem)
    for leftover in found:
        leftover.remove()
    count = len(found)
    for folder, start in ((context.cache, ""), (folders[0], stem)):
        with contextlib.suppress(StorageError):
            count += abort_old_uploads(folder, start)
    if count:
        logger.info("removed %d leftovers of killed runs", count)
