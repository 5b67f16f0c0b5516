"""The fake server's Files and Batches endpoints, as OpenAI has them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from regioncap.captioners.fake.batch_behaviour import CALLS, BatchBehaviour
from regioncap.captioners.fake.batch_work import BatchWork
from regioncap.captioners.fake.batches import LIVE, Batch, page_of
from regioncap.captioners.fake.behaviour import Behaviour
from regioncap.captioners.fake.errors import ScriptedResponse, openai_error
from regioncap.captioners.fake.files import FileStore, FileWriter, StoredFile
from regioncap.captioners.fake.multipart import BadForm, FormReader
from regioncap.captioners.fake.stats import Stats

ENDPOINT = "/v1/chat/completions"

DONE = ("ok", "lost", "500_after", "cut", "short")
"""Troubles of calls that are done."""

Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    """The call gets this error."""

    def __init__(self, status: int, message: str, param: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.response = openai_error(status, message, param=param, code=code)


class BatchRoutes:
    """The endpoints. `behaviour`: gives how they act, now. `allowed`: whether a request has the key. `respond`: makes a
    response of an error. `on_call`: each is called with the name of a call and how many there were of it, when one is
    done and not answered yet."""

    def __init__(
        self,
        behaviour: Callable[[], Behaviour],
        stats: Stats,
        files: FileStore,
        work: BatchWork,
        allowed: Callable[[Request], bool],
        respond: Callable[[ScriptedResponse], Response],
    ) -> None:
        self.on_call: list[Callable[[str, int], None]] = []
        self._behaviour = behaviour
        self._stats = stats
        self._files = files
        self._work = work
        self._allowed = allowed
        self._respond = respond

    @property
    def ids(self) -> list[str]:
        """Of all batches, oldest first."""
        return list(self._work.batches)

    def routes(self, prefix: str) -> list[Route]:
        """Where they are, under `prefix`."""
        handlers: dict[str, Handler] = {
            "upload": self._upload,
            "files": self._list_files,
            "file": self._retrieve_file,
            "content": self._content,
            "delete": self._delete,
            "create": self._create,
            "list": self._list,
            "retrieve": self._retrieve,
            "cancel": self._cancel,
        }
        found = []
        for name, handler in handlers.items():
            method, path = CALLS[name].split()
            found.append(Route(prefix + path.replace("ID", "{id}"), self._call(name, handler), methods=[method]))
        return found

    def _call(self, name: str, handler: Handler) -> Handler:
        """`handler`, with what `BatchBehaviour.calls` has for this call."""

        async def handle(request: Request) -> Response:
            behaviour = self._behaviour()
            if not self._allowed(request):
                return self._respond(behaviour.error("key", value=request.headers.get("authorization", "")[7:]))
            number = self._stats.batches.calls[name]
            self._stats.batches.calls[name] += 1
            troubles = behaviour.batch.calls.get(name, ())
            trouble = troubles[number] if number < len(troubles) else "ok"
            if trouble not in DONE:
                async for _ in request.stream():
                    pass  # Who sends a file reads no answer before.
                error = "path" if trouble == "404" else trouble
                return _no_answer() if trouble == "unheard" else self._respond(behaviour.error(error))
            try:
                response = await handler(request)
            except Refused as refused:
                response = self._respond(refused.response)
            except ClientDisconnect:
                return Response(status_code=400)
            for callback in self.on_call:
                callback(name, number + 1)
            if trouble == "ok":
                return response
            if trouble in ("cut", "short"):
                return _half_of(response, whole=trouble == "short")
            return _no_answer() if trouble == "lost" else self._respond(behaviour.error("500"))

        return handle

    @property
    def _batch(self) -> BatchBehaviour:
        return self._behaviour().batch

    # --- files

    async def _upload(self, request: Request) -> Response:
        writer = self._files.writer("", "batch")
        try:
            form = await self._read_form(request, writer)
            if form.fields.get("purpose") != "batch":
                given = form.fields.get("purpose")
                raise Refused(400, f"'{given}' is not one of ['batch'] - 'purpose'", "purpose")
            if form.filename is None:
                raise Refused(400, "'file' is a required property")
            if not form.filename.endswith(".jsonl"):
                raise Refused(400, "Invalid file format for Batch API. Must be .jsonl")
            if writer.file.size > self._batch.max_bytes:
                raise Refused(400, "File is too large.")
        except BaseException:
            writer.discard()
            raise
        writer.file.filename = form.filename
        writer.file.ready_at = time.time() + self._batch.pending
        file = self._files.add(writer)
        self._stats.batches.files += 1
        self._stats.batches.bytes += file.size
        return JSONResponse(file.public())

    async def _read_form(self, request: Request, writer: FileWriter) -> FormReader:
        most = self._batch.max_bytes

        def write(piece: bytes) -> None:
            if writer.file.size <= most:  # What is too large is read to its end, but not kept.
                writer.write(piece)

        try:
            form = FormReader(request.headers.get("content-type", ""), write)
            async for piece in request.stream():
                form.feed(piece)
            form.close()
        except BadForm as error:
            raise Refused(400, f"Could not parse multipart form: {error}") from None
        return form

    async def _list_files(self, request: Request) -> Response:
        purpose = request.query_params.get("purpose")
        files = [file for file in self._files.files.values() if purpose in (None, "", file.purpose)]
        if request.query_params.get("order") != "asc":
            files.reverse()
        return _page(request, files, most=10_000, usual=10_000)

    def _file(self, request: Request) -> StoredFile:
        file = self._files.files.get(request.path_params["id"])
        if file is None:
            raise Refused(404, f"No such File object: {request.path_params['id']}", "id")
        return file

    async def _retrieve_file(self, request: Request) -> Response:
        return JSONResponse(self._file(request).public())

    async def _content(self, request: Request) -> Response:
        return FileResponse(self._file(request).path, media_type="application/octet-stream")

    async def _delete(self, request: Request) -> Response:
        file = self._file(request)
        self._files.remove(file.id)
        self._stats.batches.deleted += 1
        return JSONResponse({"id": file.id, "object": "file", "deleted": True})

    # --- batches

    async def _create(self, request: Request) -> Response:
        try:
            body: dict[str, Any] = orjson.loads(await request.body())
        except ValueError:
            raise Refused(400, "We could not parse the JSON body of your request.") from None
        for name in ("input_file_id", "endpoint", "completion_window"):
            if name not in body:
                raise Refused(400, f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
        for name, value in {"endpoint": ENDPOINT, "completion_window": "24h"}.items():
            if body[name] != value:
                message = f"Invalid value: '{body[name]}'. Supported values are: '{value}'."
                raise Refused(400, message, name, "invalid_value")
        file = self._files.files.get(body["input_file_id"])
        if file is None:
            raise Refused(400, f"File with id {body['input_file_id']} not found.", "input_file_id")
        if not file.ready:
            message = (
                f"The input file '{file.id}' is in 'pending' state. Only files with status 'Processed' are accepted."
            )
            raise Refused(400, message, "input_file_id")
        if body.get("metadata") is not None and not self._batch.metadata:
            raise Refused(400, "Unrecognized request argument supplied: metadata", "metadata")
        if file.lines > self._batch.max_requests:
            message = f"The batch input file has {file.lines} requests, above the limit of {self._batch.max_requests}."
            raise Refused(400, message, "input_file_id")
        batch = Batch(file, body["endpoint"], body["completion_window"], body.get("metadata"))
        self._work.start(batch)
        return JSONResponse(batch.public())

    async def _list(self, request: Request) -> Response:
        behaviour = self._batch
        if behaviour.no_list is not None:
            raise Refused(behaviour.no_list, f"Invalid URL (GET {request.url.path})")
        hidden = behaviour.list_until is not None and not behaviour.list_until.is_set()
        known = [
            batch
            for batch in reversed(self._work.batches.values())
            if not hidden and time.time() >= batch.created + behaviour.list_delay
        ]
        return _page(request, known, most=100, usual=20)

    def _find(self, request: Request) -> Batch:
        batch = self._work.batches.get(request.path_params["id"])
        if batch is None:
            raise Refused(404, f"No batch found with id '{request.path_params['id']}'.")
        return batch

    async def _retrieve(self, request: Request) -> Response:
        return JSONResponse(self._find(request).public())

    async def _cancel(self, request: Request) -> Response:
        batch = self._find(request)
        if batch.status not in LIVE:
            raise Refused(409, f"Cannot cancel a batch with status '{batch.status}'.")
        self._work.cancel(batch)
        return JSONResponse(batch.public())


def _page(request: Request, items: Sequence[Batch | StoredFile], *, most: int, usual: int) -> Response:
    given = request.query_params.get("limit", str(usual))
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= most:
        raise Refused(400, f"Invalid 'limit': expected a number from 1 to {most}, got {given}.", "limit")
    after = request.query_params.get("after")
    page = page_of(items, after, int(given))
    if page is None:
        raise Refused(400, f"Invalid 'after': no object with id {after}.", "after")
    return JSONResponse(page)


def _half_of(response: Response, *, whole: bool) -> Response:
    """The first half of a response. `whole`: as if that were all; else the connection is closed then."""
    content = Path(response.path).read_bytes() if isinstance(response, FileResponse) else bytes(response.body)
    half = content[: len(content) // 2]
    return Response(half, headers={} if whole else {"Content-Length": str(len(content))})


def _no_answer() -> Response:
    """A response that breaks off: a longer length than is sent makes the server close the connection."""
    return Response(headers={"Content-Length": "1000"})
