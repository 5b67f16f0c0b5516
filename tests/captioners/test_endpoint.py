"""One server, over HTTP: what is sent to it, and what its answers and errors mean."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import orjson
import pytest

from regioncap.captioners.access import Access
from regioncap.captioners.chat import ChatRequest, ChatResponse, Sampling
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.fake.replies import completion
from regioncap.captioners.fake_server import RunningServer, ScriptedResponse
from regioncap.captioners.limits import InFlightLimit
from regioncap.captioners.server_errors import EndpointFailed, Refused, TryAgain
from regioncap.captioners.structure import FORM_QUESTION, STRUCTURES, holds_to_form
from regioncap.captioners.transport import Transport, open_client
from regioncap.errors import CaptionerError
from tests.support.model_servers import Serve, jpeg_of

T = TypeVar("T")

SAMPLING = Sampling(100, 0.5, 7, {"top_p": 0.9})
REQUEST = ChatRequest("You see.", "What is there?", (jpeg_of(1),), (1, 2), 0.3)


def ask(server: RunningServer, call: Callable[[Endpoint], Awaitable[T]], *, key: str | None = None, **fields: Any) -> T:
    """The result of `call` with an endpoint for this server."""

    async def run() -> T:
        async with open_client() as client:
            http = Transport(client, Access().with_key(key))
            return await call(Endpoint(server.url, "fake-vlm", SAMPLING, 30.0, InFlightLimit(1), http, **fields))

    return asyncio.run(run())


def send(server: RunningServer, **fields: Any) -> ChatResponse:
    return ask(server, lambda endpoint: endpoint.send(REQUEST), **fields)


def scripted(status: int, body: Any, **headers: str) -> Callable[[Mapping[str, Any]], ScriptedResponse]:
    return lambda request: ScriptedResponse(body, status, headers)


def test_what_is_sent(serve: Serve) -> None:
    server = serve()
    bodies = server.record()
    send(server, structure="regex", max_caption_chars=50)
    (body,) = bodies
    assert list(body) == ["model", "messages", "max_tokens", "top_p", "temperature", "seed", "structured_outputs"]
    assert (body["max_tokens"], body["top_p"], body["temperature"], body["seed"]) == (100, 0.9, 0.8, 10)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert [part["type"] for part in body["messages"][1]["content"]] == ["image_url", "text"]
    assert body["structured_outputs"]["regex"].startswith(r"<region1>: [^<\s][^<\n]{0,49}\n<region2>: ")


ERRORS: dict[str, tuple[int, Any, type[Exception], str]] = {
    "key": (401, {"error": {"message": "Incorrect"}}, EndpointFailed, "refused the key .401: Incorrect"),
    "no money": (402, {"error": {"message": "Payment Required"}}, EndpointFailed, "no credit left .402: Payment"),
    "no access": (403, {"detail": "Forbidden"}, Refused, "403: Forbidden"),
    "model": (404, {"error": {"message": "no such"}}, Refused, "404: no such"),
    "quota": (429, {"error": {"code": "insufficient_quota"}}, TryAgain, "429: .*insufficient_quota"),
    "loading": (400, {"error": "Model is still loading"}, TryAgain, "400: Model is still loading"),
    "page": (502, "<html><style>x{}</style><h1>502 Bad Gateway</h1></html>", TryAgain, "502: 502 Bad Gateway"),
    "rate": (429, {"error": {"message": "slow down"}}, TryAgain, "429: slow down"),
    "server": (500, "oops", TryAgain, "500: oops"),
    "other server": (599, {}, TryAgain, "599: {}"),
    "request": (400, {"error": {"message": "too long"}}, Refused, "400: too long"),
    "too large": (413, {"message": "too large"}, Refused, "413: too large"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_whose_fault_an_error_is(serve: Serve, case: str) -> None:
    status, body, expected, words = ERRORS[case]
    with pytest.raises(expected, match=words):
        send(serve(script=scripted(status, body)))


WAITS = {"": None, "3": 3.0, "0.5": 0.5, "-1": 0.0, "Thu, 01 Jan 1970 00:00:00 GMT": 0.0, "soon": None}


@pytest.mark.parametrize("header", WAITS)
def test_how_long_it_asks_to_wait(serve: Serve, header: str) -> None:
    headers = {"Retry-After": header} if header else {}
    with pytest.raises(TryAgain) as error:
        send(serve(script=lambda request: ScriptedResponse({}, 503, headers)))
    assert (error.value.overloaded, error.value.unreachable, error.value.after) == (True, False, WAITS[header])


@pytest.mark.parametrize("body", [{}, [], {"choices": []}, {"choices": [{"message": None}]}, "text", None], ids=repr)
def test_an_answer_that_is_none_is_asked_for_again(serve: Serve, body: Any) -> None:
    with pytest.raises(TryAgain, match="the answer is no chat completion"):
        send(serve(script=scripted(200, body)))


def test_the_newer_name_of_max_tokens_is_found_out(serve: Serve) -> None:
    def script(body: Mapping[str, Any]) -> ScriptedResponse | None:
        if "max_tokens" in body:
            return ScriptedResponse({"error": {"message": "Use 'max_completion_tokens' instead."}}, 400)
        return None

    server = serve(script=script)
    bodies = server.record()

    async def twice(endpoint: Endpoint) -> list[ChatResponse]:
        return [await endpoint.send(REQUEST), await endpoint.send(REQUEST)]

    assert [response.finish_reason for response in ask(server, twice)] == ["stop", "stop"]
    assert ["max_tokens" in body for body in bodies] == [True, False, False]
    assert bodies[1]["max_completion_tokens"] == 100


def test_what_the_server_says_of_a_key_is_masked(serve: Serve) -> None:
    def script(body: Mapping[str, Any]) -> ScriptedResponse:
        return ScriptedResponse({"error": {"message": "wrong: quiet-river, sk-abc***xyz"}}, 401)

    with pytest.raises(CaptionerError, match=r"wrong: \*\*\*, \*\*\*\)"):
        send(serve(script=script), key="quiet-river")


@pytest.mark.parametrize("suffix", ["", "/v1"])
def test_the_base_url_is_found(serve: Serve, suffix: str) -> None:
    server = serve()

    async def resolve(endpoint: Endpoint) -> tuple[list[str], str]:
        endpoint.url = endpoint.url.removesuffix("/v1") + suffix
        return await endpoint.resolve_base_url(), endpoint.url

    assert ask(server, resolve) == (["fake-vlm"], server.url)


class Paths(BaseHTTPRequestHandler):
    """Answers each path as `answers` says; 404 to the others. `asked`: the paths in order."""

    answers: Mapping[str, tuple[int, Any]]
    asked: list[str]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        status, body = self.answers.get(path, (404, {"error": "Not Found"}))
        content = orjson.dumps(body) if not isinstance(body, str) else body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def resolved(path: str, answers: Mapping[str, tuple[int, Any]]) -> tuple[list[str], str]:
    """(the models, the path of the base URL) that are found where a server answers so and `path` was given."""
    handler = type("Handler", (Paths,), {"answers": answers, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"

        async def run() -> tuple[list[str], str]:
            async with open_client() as client:
                endpoint = Endpoint(root + path, "m", SAMPLING, 30.0, InFlightLimit(1), Transport(client))
                return await endpoint.resolve_base_url(), endpoint.url.removeprefix(root)

        try:
            return asyncio.run(run())
        finally:
            server.shutdown()


LIST = {"object": "list", "data": [{"id": "m"}]}
UNEXPECTED = {"error": "Unexpected endpoint or method. (GET /models)"}
BASES: dict[str, tuple[str, dict[str, tuple[int, Any]], list[str], str]] = {
    "LM Studio answers all with 200": ("", {"/models": (200, UNEXPECTED), "/v1/models": (200, LIST)}, ["m"], "/v1"),
    "a web page for all": ("", {"/models": (200, "<html>"), "/v1/models": (200, LIST)}, ["m"], "/v1"),
    "a list without the envelope": ("/v1", {"/v1/models": (200, [{"id": "m"}])}, ["m"], "/v1"),
    "Ollama without a model": ("", {"/v1/models": (200, {"object": "list", "data": None})}, [], "/v1"),
    "forbidden": ("/v1", {"/v1/models": (403, {})}, [], "/v1"),
    "forbidden, without v1": ("", {"/v1/models": (401, {})}, [], "/v1"),
    "forbidden everywhere": ("/x", {"/x/models": (403, {}), "/x/v1/models": (403, {})}, [], "/x"),
    "broken": ("/v1", {"/v1/models": (500, "oops")}, [], "/v1"),
    "no list anywhere": ("/openai/deployments/d", {}, [], "/openai/deployments/d"),
}


@pytest.mark.parametrize("case", BASES)
def test_only_a_list_of_models_shows_a_base_url_and_its_lack_stops_nothing(case: str) -> None:
    path, answers, models, base = BASES[case]
    assert resolved(path, answers) == (models, base)


def test_the_body_that_users_add_is_in_every_request(serve: Serve) -> None:
    server = serve()
    bodies = server.record()
    more = {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}}

    async def both(endpoint: Endpoint) -> None:
        await endpoint.send(REQUEST)
        await endpoint.ask(endpoint.form_question("regex", REQUEST))

    ask(server, both, request_body=more)
    assert [body.items() >= more.items() for body in bodies] == [True, True]


def test_an_echoed_secret_comes_into_no_answer(serve: Serve) -> None:
    server = serve(script=scripted(200, completion("<region1>: your key is quiet-river-7")))
    assert send(server, key="quiet-river-7").text == "<region1>: your key is ***"
    assert send(server).text == send(server, key="your").text == "<region1>: your key is quiet-river-7"


def test_nothing_answers(serve: Serve) -> None:
    server = serve()
    server.stop()
    for call in (lambda endpoint: endpoint.send(REQUEST), lambda endpoint: endpoint.resolve_base_url()):
        with pytest.raises(TryAgain, match="cannot connect: Connection refused") as error:
            ask(server, call)
        assert error.value.unreachable


@pytest.mark.parametrize("structure", [("regex",), ("json_schema",), ()], ids=str)
def test_which_form_it_enforces(serve: Serve, structure: tuple[str, ...]) -> None:
    async def enforced(endpoint: Endpoint) -> list[str]:
        question = ChatRequest("", FORM_QUESTION, (jpeg_of(1),), (1,))
        answers = {way: await endpoint.ask(endpoint.form_question(way, question)) for way in STRUCTURES}
        return [way for way, answer in answers.items() if holds_to_form(way, answer.text)]

    assert ask(serve(structure=structure), enforced) == list(structure)


def test_a_form_that_is_refused_is_not_enforced(serve: Serve) -> None:
    server = serve(script=scripted(400, {"error": "unknown field"}))
    with pytest.raises(Refused, match="unknown field"):
        send(server)


def test_the_queue_is_read_where_there_is_one(serve: Serve) -> None:
    assert ask(serve(), lambda endpoint: endpoint.queue()) == (0, 0)
    assert ask(serve(metrics=False), lambda endpoint: endpoint.queue()) is None


def test_usage_is_what_the_server_counts(serve: Serve) -> None:
    response = send(serve(script=scripted(200, completion("x" * 40, "length", 123))))
    assert (response.prompt_tokens, response.completion_tokens, response.cut) == (123, 10, True)


def test_an_answer_may_come_with_another_status_of_success(serve: Serve) -> None:
    server = serve(script=scripted(201, completion("A dog.", "stop")))
    assert send(server).text == "A dog."


@pytest.mark.parametrize("status", [204, 206, 304])
def test_what_is_neither_an_answer_nor_an_error_is_no_refusal(serve: Serve, status: int) -> None:
    with pytest.raises(TryAgain) as error:
        send(serve(script=scripted(status, "")))
    assert error.value.senseless
