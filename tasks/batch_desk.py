"""What all work on batches shares: the endpoint, the records, and the files on their way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from regioncap.captioners.batch_api import BatchApi
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.errors import CaptionerError, ConfigError
from regioncap.run.context import RunContext
from regioncap.run.threads import result_of
from regioncap.storage.temporary import TemporaryFolder
from regioncap.tasks.batch_packing import PackingDesk

T = TypeVar("T")

logger = logging.getLogger("regioncap")


@dataclass(frozen=True)
class BatchDesk(PackingDesk):
    """A run's access to its provider's batches."""

    endpoint: Endpoint
    api: BatchApi

    def discard(self, file: str) -> None:
        """Delete one of the provider's files; where that is not possible, say so. Raises Stopped."""
        try:
            self.do(self.api.delete, file)
        except CaptionerError as error:
            logger.warning("file %s stays at the provider: %s", file, error)

    def do(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """What `function(*args)` gives, run where the endpoint's connections are. Raises what it raises, Stopped."""
        return result_of(self.captioner.session.call(function, *args), self.context.stop)


@contextmanager
def open_desk(context: RunContext) -> Iterator[BatchDesk]:
    """The desk of a run whose endpoint was tried out: it is known then which form of requests it takes.

    Raises CaptionerError, Stopped, ConfigError.
    """
    captioner = context.captioner
    if not isinstance(captioner, OpenAICaptioner):
        raise ConfigError("delivery", "captioner 'openai' for batches", context.config.captioner)
    endpoint = result_of(captioner.session.ready_endpoint(), context.stop)
    scratch = TemporaryFolder("batch")
    try:
        api = BatchApi(endpoint.http, endpoint.url, endpoint.model, context.config.server_patience)
        yield BatchDesk(context, captioner, endpoint, scratch.path, endpoint, api)
    finally:
        scratch.remove()
