"""A provider's batches, in OpenAI's form: files up, batches created and looked at, files down again.

Calls that may be made twice are made again while the server has trouble; `create` is made once: see there. Providers
differ: some write states in capitals, errors as a text or times as a date; have no metadata, or no list; or take a
while until an uploaded file may be used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regioncap.captioners.chat import loads_body
from regioncap.captioners.network_errors import problem_on_the_way
from regioncap.captioners.retry_after import requested_wait
from regioncap.captioners.server_errors import HttpResponse, Refused, TryAgain, classify, error_text
from regioncap.captioners.transport import Transport
from regioncap.errors import CaptionerError
from regioncap.masking import outside_text
from regioncap.records import dumps

CALL_SECONDS = 60.0
FILE_SECONDS = 3600.0
"""For a file of hundreds of megabytes, either way."""

DELETE_SECONDS = 10.0
"""For what is not worth waiting for: a provider deletes files by itself in the end."""

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 60.0
PAGE = 100

LOOK_BACK_SECONDS = 86_400.0
"""The provider's clock may differ from ours: batches that are older by so much are looked through as well."""

COMPLETION_WINDOW = "24h"
CHAT_PATH = "/v1/chat/completions"
"""What the lines of a request file are for, wherever the endpoint has its own."""

OUR_ID = "regioncap"
"""Names our id in a batch's metadata."""

TOKEN_LIMIT = "token_limit_exceeded"
OVER = frozenset({"completed", "failed", "expired", "cancelled"})
"""States that a batch stays in."""

VALIDATING = "validating"
"""The first state of a batch, in which its file and the limits are looked at."""

NOT_READY = frozenset({"pending", "running", "processing", "importing", "notrunning"})
"""States of an uploaded file of which no batch can be created yet."""

BROKEN = frozenset({"error", "failed"})
"""States of a file of which none ever can."""


class CallRefused(CaptionerError):
    """The provider refused a call, and would refuse it again: surely nothing was done."""


class NoList(CaptionerError):
    """The provider has no list of batches."""


class Unclear(Exception):
    """Nobody knows whether what was asked for was done: no answer came, or an error of the server."""


class NoRoom(Exception):
    """The provider takes no more tokens in batches for now."""


class Busy(Exception):
    """The provider did nothing: too many calls, or no connection. `after`: seconds to wait, as it asks."""

    def __init__(self, reason: str, after: float | None) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True)
class Batch:
    """A batch as the provider describes it. `ours`: our id; "" where it says none. `total`, `done`, `failed`: requests.
    `problem`: what made all of it fail, as `code: message`."""

    id: str
    status: str
    input_file: str
    ours: str = ""
    output_file: str = ""
    error_file: str = ""
    total: int = 0
    done: int = 0
    failed: int = 0
    problem: str = ""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Batch:
        """The batch in the provider's JSON. Raises KeyError, TypeError, AttributeError, ValueError for another."""
        data = data["job"] if isinstance(data.get("job"), dict) else data
        counts = data.get("request_counts") or {}
        total, done, failed = (int(counts.get(name) or 0) for name in ("total", "completed", "failed"))
        ours = str((data.get("metadata") or {}).get(OUR_ID) or "")
        files = [str(data.get(f"{name}_file_id") or "") for name in ("input", "output", "error")]
        status, problem = str(data["status"]).casefold(), _problem_in(data)
        return cls(str(data["id"]), status, files[0], ours, files[1], files[2], total, done, failed, problem)

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in OVER

    @property
    def results(self) -> int:
        """How many results its output file has, at least."""
        # Some count those that failed among those that are done.
        return self.done if self.done + self.failed <= self.total else self.done - self.failed

    @property
    def had_no_room(self) -> bool:
        """Whether it failed as a whole, since too many tokens were enqueued."""
        return self.status == "failed" and TOKEN_LIMIT in self.problem


def _problem_in(data: Mapping[str, Any]) -> str:
    errors = data.get("errors") or data.get("error") or ""
    listed = errors.get("data") if isinstance(errors, dict) else errors if isinstance(errors, list) else None
    if listed:
        return "; ".join(f"{error.get('code')}: {error.get('message')}" for error in listed[:3])
    return errors if isinstance(errors, str) else ""


class BatchApi:
    """The batches of one endpoint's account. All methods run on the session's event loop.

    `url`: base URL, as `Endpoint` has it. `patience`: seconds for which a server may have trouble. All raise
    CaptionerError when it has it for longer, or refuses the call.
    """

    def __init__(self, http: Transport, url: str, model: str, patience: float) -> None:
        self._http = http
        self._url = url
        self._model = model
        self._patience = patience

    async def upload(self, path: Path, name: str) -> str:
        """Upload a request file; returns its id when it may be used."""
        fields = {"purpose": "batch"}
        response = await self._patiently(
            "upload requests", lambda: self._http.upload(f"{self._url}/files", path, name, fields, FILE_SECONDS)
        )
        file = self._json(response, "upload requests")
        until, pause = time.monotonic() + FILE_SECONDS, FIRST_PAUSE_SECONDS
        while (status := str(file.get("status") or "").casefold()) in NOT_READY and time.monotonic() < until:
            await asyncio.sleep(pause)
            pause = min(MAX_PAUSE_SECONDS, 2 * pause)
            file = self._json(await self._call("GET", f"/files/{file['id']}", "look at a file"), "look at a file")
        if status in BROKEN:
            reason = outside_text(str(file.get("status_details") or "no reason is given"), self._http.secrets)
            raise CallRefused(f"{self._url} cannot use the file of requests that was uploaded: {reason}")
        if "id" not in file:
            raise CaptionerError(f"{self._url}: expected a file's id after an upload, got {dumps(file)[:80]!r}")
        return str(file["id"])

    async def create(self, file: str, ours: str) -> Batch:
        """Create a batch of an uploaded file, with our id. Tried once: a second one would be paid for, too.

        Raises Unclear when it may have been created, Busy, NoRoom, CallRefused.
        """
        wanted = {"input_file_id": file, "endpoint": CHAT_PATH, "completion_window": COMPLETION_WINDOW}
        response = await self._create({**wanted, "metadata": {OUR_ID: ours}})
        if response.status in (400, 422) and "metadata" in response.text.casefold():
            response = await self._create(wanted)  # the list still says of which file a batch is
        return self._batch(self._checked(response, "create a batch"), "create a batch")

    async def _create(self, wanted: Mapping[str, Any]) -> HttpResponse:
        try:
            response = await self._http.call("POST", f"{self._url}/batches", CALL_SECONDS, dumps(wanted))
        except TryAgain as error:
            if error.unreachable:
                raise Busy(error.reason, None) from None
            raise Unclear(error.reason) from None
        reason = f"{response.status}: {error_text(response.text, self._http.secrets)}"
        if not 200 <= response.status < 300 and TOKEN_LIMIT in response.text:
            raise NoRoom
        if response.status == 429:
            raise Busy(reason, requested_wait(response.headers, response.text, time.time()))
        if response.status >= 500 or response.status == 408:
            raise Unclear(reason)
        return response

    async def get(self, batch: str) -> Batch | None:
        """How a batch is; None where the provider has none with this id."""
        response = await self._call("GET", f"/batches/{batch}", "look at a batch", accepted=(404, 410))
        return self._batch(response, "look at a batch") if response.status == 200 else None

    async def cancel(self, batch: str) -> None:
        """End a batch; what it has done by then is kept. One that is over stays as it is."""
        await self._call("POST", f"/batches/{batch}/cancel", "cancel a batch", accepted=(400, 404, 409))

    async def find(self, file: str, ours: str, since: float) -> Batch | None:
        """The batch that was created of this file by us, if the provider lists any that did not fail.

        `since`: seconds since the epoch; of pages that are all older, no more are looked through. Raises NoList.
        """
        async for page in self._pages():
            for data in page:
                batch = self._as_batch(data, "list batches")
                if (batch.ours == ours or (file and batch.input_file == file)) and not batch.had_no_room:
                    return batch
            if all(_created_at(data) < since - LOOK_BACK_SECONDS for data in page):
                return None
        return None

    async def _pages(self) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        after = ""
        while True:
            query = {"limit": str(PAGE), **({"after": after} if after else {})}
            response = await self._call("GET", "/batches", "list batches", query=query, accepted=(404, 405, 501))
            if response.status != 200:
                raise NoList
            page = self._json(response, "list batches", several=True)
            found = [data for data in page.get("data") or () if isinstance(data, dict)]
            yield found
            last = str(page.get("last_id") or (found[-1].get("id", "") if found else ""))
            if not (page.get("has_more") and found) or last == after:  # one that is not moved on would never end
                return
            after = last

    async def download(self, file: str, path: Path) -> bool:
        """Write a file's content to `path`. Returns whether the provider still has it."""
        url = f"{self._url}/files/{file}/content"
        response = await self._patiently(
            "download results", lambda: self._http.download(url, path, FILE_SECONDS), accepted=(404, 410)
        )
        return response.status == 200

    async def delete(self, file: str) -> None:
        """Delete a file; one that is gone is no error, and neither is a provider that deletes none."""
        accepted = (400, 403, 404, 405, 409, 410, 501)
        await self._call("DELETE", f"/files/{file}", "delete a file", accepted=accepted, patience=DELETE_SECONDS)

    # --- one call

    async def _call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Mapping[str, str] | None = None,
        accepted: tuple[int, ...] = (),
        patience: float | None = None,
    ) -> HttpResponse:
        url = f"{self._url}{path}"
        return await self._patiently(
            doing, lambda: self._http.call(method, url, CALL_SECONDS, query=query), accepted=accepted, patience=patience
        )

    async def _patiently(
        self,
        doing: str,
        call: Callable[[], Awaitable[HttpResponse]],
        *,
        accepted: tuple[int, ...] = (),
        patience: float | None = None,
    ) -> HttpResponse:
        """The response to `call`, which is made again while it fails in a way that may pass. `patience`: seconds for
        that; None for the endpoint's."""
        until = time.monotonic() + (self._patience if patience is None else min(patience, self._patience))
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._checked(await call(), doing, accepted)
            except TryAgain as error:
                if time.monotonic() > until:
                    raise CaptionerError(
                        f"{self._url}: cannot {doing}: {error.reason}. What was submitted goes on; rerun later, and it "
                        "is collected."
                    ) from None
                await asyncio.sleep(min(MAX_PAUSE_SECONDS, error.after or pause))
                pause = min(MAX_PAUSE_SECONDS, 2 * pause)

    def _checked(self, response: HttpResponse, doing: str, accepted: tuple[int, ...] = ()) -> HttpResponse:
        """A response of success, or of a status that is accepted. Raises TryAgain, CaptionerError."""
        if 200 <= response.status < 300 or response.status in accepted:
            return response
        problem = problem_on_the_way(response, self._url, self._http.secrets)
        if problem is not None:
            raise problem
        error = classify(response, url=self._url, model=self._model, secrets=self._http.secrets)
        if isinstance(error, Refused) or response.status in (404, 405):
            reason = error_text(response.text, self._http.secrets)
            raise CallRefused(
                f"{self._url} refuses to {doing} ({response.status}: {reason}). Check that the provider has batches "
                "in OpenAI's form (/files and /batches); without them, set delivery=online."
            )
        raise error

    def _json(self, response: HttpResponse, doing: str, *, several: bool = False) -> dict[str, Any]:
        """The object in a response. `several`: a list is one whose `data` it is."""
        try:
            data = loads_body(response.content)
            if several and isinstance(data, list):
                return {"data": data}
            if isinstance(data, dict):
                return data
        except ValueError:
            pass
        raise CaptionerError(f"{self._url}: expected JSON when asked to {doing}, got {response.text[:80]!r}")

    def _batch(self, response: HttpResponse, doing: str) -> Batch:
        return self._as_batch(self._json(response, doing), doing)

    def _as_batch(self, data: Mapping[str, Any], doing: str) -> Batch:
        try:
            return Batch.of(data)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise CaptionerError(f"{self._url}: expected a batch when asked to {doing}, got something else") from None


def _created_at(data: Mapping[str, Any]) -> float:
    """When a batch was created, in seconds since the epoch; infinity where that is not said in seconds."""
    at = data.get("created_at")
    return float(at) if isinstance(at, int | float) and at else float("inf")
