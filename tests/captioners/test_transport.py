"""HTTP with a model server: what is sent, how much is read, what is said when it does not work; over real sockets."""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from regioncap.captioners import transport
from regioncap.captioners.access import Access
from regioncap.captioners.server_errors import HttpResponse, TryAgain
from regioncap.captioners.tls import tls_context
from regioncap.captioners.transport import Transport, open_client
from regioncap.errors import CaptionerError, ConfigError

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

SECRET = "quiet-river-7"


@asynccontextmanager
async def serving(handler: Handler, certificate: trustme.LeafCert | None = None) -> AsyncIterator[str]:
    """The address, without scheme, of a server that has `handler` answer everything."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.01)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    if certificate and context:
        certificate.configure_cert(context)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def exchange(
    handler: Handler,
    *,
    method: str = "post",
    scheme: str = "http",
    timeout: float = 30.0,
    access: Access | None = None,
    ca_file: Path | None = None,
    certificate: trustme.LeafCert | None = None,
) -> HttpResponse:
    """The response of a server with this handler."""

    async def run() -> HttpResponse:
        async with serving(handler, certificate) as address, open_client(str(ca_file) if ca_file else None) as client:
            http = Transport(client, access)
            url = f"{scheme}://{address}/v1/chat/completions"
            return await (http.post(url, b"{}", timeout) if method == "post" else http.get(url, timeout))

    return asyncio.run(run())


async def echo(request: web.BaseRequest) -> web.Response:
    """What was sent."""
    body = {"query": dict(request.query), "headers": {key.lower(): each for key, each in request.headers.items()}}
    return web.json_response(body, headers={"Retry-After": "3", "X-RateLimit-Remaining": "7"})


def sent(access: Access | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(exchange(echo, access=access).content)
    return found


# --- what is sent, and what comes back


def test_headers_and_query_go_with_every_request() -> None:
    access = Access({"api-key": SECRET}, {"api-version": "2024-10-21", "q": "a b&c"}, (SECRET,)).with_key("a-key")
    found = sent(access)
    assert found["query"] == {"api-version": "2024-10-21", "q": "a b&c"}
    assert (found["headers"]["api-key"], found["headers"]["authorization"]) == (SECRET, "Bearer a-key")
    assert found["headers"]["content-type"] == "application/json"
    assert "authorization" not in sent()["headers"]


def test_headers_of_responses_are_found_in_any_case() -> None:
    response = exchange(echo)
    assert (response.headers["RETRY-AFTER"], response.headers["x-ratelimit-remaining"]) == ("3", "7")


def test_access_shows_nothing_of_itself() -> None:
    assert SECRET not in repr(Access({"api-key": SECRET}, {"key": SECRET}, (SECRET,)).with_key(SECRET))


# --- how much is read


async def endless(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b" " * 65_536)
    except ConnectionError:
        return response


async def bomb(request: web.BaseRequest) -> web.Response:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join([packer.compress(bytes(2**20)) for _ in range(512)] + [packer.flush()])
    return web.Response(body=packed, headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize("handler", [endless, bomb])
@pytest.mark.parametrize("method", ["post", "get"])
def test_no_more_is_read_than_an_answer_can_have(handler: Handler, method: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TryAgain, match="the response has more than 16 MiB; the rest was not read"):
            exchange(handler, method=method)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_a_compressed_answer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def packed(request: web.BaseRequest) -> web.Response:
        response = web.json_response({"text": "x" * 5000})
        response.enable_compression(web.ContentCoding.gzip)
        return response

    assert len(exchange(packed).content) > 5000
    monkeypatch.setattr(transport, "MAX_RESPONSE_BYTES", 5000)
    with pytest.raises(TryAgain, match="the rest was not read"):
        exchange(packed)


async def trickle(request: web.BaseRequest) -> web.StreamResponse:
    """A body that never comes to its end."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"{")
    await asyncio.Event().wait()
    return response


def test_a_slow_body_ends_with_the_time_limit() -> None:
    with pytest.raises(TryAgain, match=r"no answer within request_timeout=0\.3 s") as error:
        exchange(trickle, timeout=0.3)
    assert not error.value.unreachable
    with pytest.raises(TryAgain, match=r"no answer within 0\.3 s") as error:
        exchange(trickle, timeout=0.3, method="get")
    assert not error.value.unreachable


# --- addresses that are not the server's


def redirect(target: str) -> Handler:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=307, headers={"Location": target})

    return answer


REDIRECTS = {
    "https://other.example/v1/chat/completions?sig=abc": "set --endpoint https://other.example/v1. Fix this",
    "/openai/v1/chat/completions/": r"set --endpoint http://127\.0\.0\.1:\d+/openai/v1. Fix this",
    "https://login.example/start?next=x": "redirects to https://login.example/start .* set --endpoint to the base URL",
}


@pytest.mark.parametrize("target", REDIRECTS)
def test_a_redirect_is_not_followed_and_says_where_to(target: str) -> None:
    with pytest.raises(CaptionerError, match=REDIRECTS[target]) as error:
        exchange(redirect(target))
    assert "?" not in str(error.value)
    assert exchange(redirect(target), method="get").status == 307  # a list of models that is elsewhere stops nothing


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def test_a_server_whose_authority_is_named_is_trusted(authority: trustme.CA, ca_file: Path) -> None:
    certificate = authority.issue_cert("127.0.0.1")
    assert exchange(echo, scheme="https", certificate=certificate, ca_file=ca_file).status == 200


def test_a_server_whose_own_certificate_is_named_is_trusted(authority: trustme.CA, tmp_path: Path) -> None:
    certificate = authority.issue_cert("127.0.0.1")
    own = tmp_path / "own.pem"
    certificate.cert_chain_pems[0].write_to_path(str(own))
    assert exchange(echo, scheme="https", certificate=certificate, ca_file=own).status == 200


CERTIFICATES: dict[str, tuple[dict[str, Any], bool, str]] = {
    "unknown authority": ({}, False, "not signed by an authority that this machine trusts .* with --ca-file"),
    "expired": ({"not_after": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)}, True, "its certificate has expired"),
    "other host": ({"name": "other.example"}, True, "is for another host .*: use a name that it is for in --endpoint"),
}


@pytest.mark.parametrize("method", ["post", "get"])
@pytest.mark.parametrize("case", CERTIFICATES)
def test_what_is_wrong_with_a_certificate_is_said(authority: trustme.CA, ca_file: Path, case: str, method: str) -> None:
    how, named, words = CERTIFICATES[case]
    certificate = authority.issue_cert(how.get("name", "127.0.0.1"), not_after=how.get("not_after"))
    with pytest.raises(CaptionerError, match=rf"^https://127\.0\.0\.1:\d+: .*{words}") as error:
        exchange(echo, method=method, scheme="https", certificate=certificate, ca_file=ca_file if named else None)
    assert "not permitted" not in str(error.value)


@pytest.mark.parametrize("method", ["post", "get"])
def test_a_wrong_scheme_is_named(authority: trustme.CA, method: str) -> None:
    with pytest.raises(CaptionerError, match=r"^https://\S+ speaks plain HTTP: use http:// in --endpoint"):
        exchange(echo, method=method, scheme="https")
    with pytest.raises(CaptionerError, match=r"^http://\S+ accepts TLS only: use https:// in --endpoint"):
        exchange(echo, method=method, certificate=authority.issue_cert("127.0.0.1"))


async def nginx(request: web.BaseRequest) -> web.Response:
    return web.Response(status=400, text="<h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port")


def test_a_server_that_says_itself_that_it_wants_tls() -> None:
    with pytest.raises(CaptionerError, match="use https:// in --endpoint"):
        exchange(nginx)


NO_CERTIFICATES = {"gone": None, "empty": "", "text": "hello\n", "a key": "-----BEGIN PRIVATE KEY-----\nAAAA\n"}


@pytest.mark.parametrize("case", NO_CERTIFICATES)
def test_a_file_without_certificates_is_refused(tmp_path: Path, case: str) -> None:
    text, path = NO_CERTIFICATES[case], tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    words = "No such file" if text is None else "it holds none"
    with pytest.raises(ConfigError, match=rf"^ca_file: expected a PEM file with certificates \({words}.*ca\.pem'$"):
        tls_context(str(path))


# --- proxies


def through(monkeypatch: pytest.MonkeyPatch, handler: Handler, url: str, **environment: str) -> HttpResponse:
    """The response to `url` where the environment names a proxy with this handler, and `environment` beside."""

    async def run() -> HttpResponse:
        async with serving(handler) as address:
            for name in ("http_proxy", "https_proxy", "no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("HTTP_PROXY", f"http://user:{SECRET}@{address}")
            monkeypatch.setenv("HTTPS_PROXY", address)
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            async with open_client() as client:
                return await Transport(client).post(url, b"{}", 30.0)

    return asyncio.run(run())


async def relay(request: web.BaseRequest) -> web.Response:
    return web.json_response({"url": str(request.url), "login": request.headers.get("Proxy-Authorization", "")})


async def refuse(request: web.BaseRequest) -> web.Response:
    return web.Response(status=403)


async def want_login(request: web.BaseRequest) -> web.Response:
    return web.Response(status=407)


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    content = through(monkeypatch, relay, "http://model.invalid/v1").content
    assert b'"http://model.invalid/v1"' in content
    assert b"Basic " in content


REFUSALS: dict[str, tuple[Handler, str, type[Exception], str]] = {
    "connect": (refuse, "https://model.invalid/v1", TryAgain, "the proxy refuses to connect: 403 Forbidden"),
    "connect, login": (
        want_login,
        "https://model.invalid/v1",
        CaptionerError,
        "https://model.invalid requires a login",
    ),
    "login": (want_login, "http://model.invalid/v1", CaptionerError, "http://model.invalid requires a login"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_a_proxy_refuses_is_said(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    handler, url, kind, words = REFUSALS[case]
    with pytest.raises(kind, match=words) as error:
        through(monkeypatch, handler, url)
    assert SECRET not in str(error.value)
    assert "HTTPS_PROXY" in str(error.value) or "NO_PROXY=model.invalid" in str(error.value)


def test_no_proxy_for_this_machine_and_what_the_environment_excepts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with serving(echo) as address:
            for host in ("127.0.0.1", "localhost"):
                url = f"http://{address.replace('127.0.0.1', host)}/v1"
                async with open_client() as client:
                    assert (await Transport(client).post(url, b"{}", 30.0)).status == 200

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    asyncio.run(run())
    with pytest.raises(TryAgain, match="cannot connect: ") as error:
        through(monkeypatch, relay, "http://model.invalid/v1", NO_PROXY="other.example,.invalid")
    assert error.value.unreachable


def test_a_proxy_that_is_not_there_or_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://model.invalid/v1"
    with pytest.raises(TryAgain, match=r"cannot connect to the proxy 127\.0\.0\.1:9: Connection refused") as gone:
        through(monkeypatch, relay, url, HTTP_PROXY=f"http://me:{SECRET}@127.0.0.1:9")
    assert gone.value.unreachable
    assert SECRET not in str(gone.value)
    with pytest.raises(CaptionerError, match="HTTP_PROXY: expected an http:// or https:// proxy, got socks5://"):
        through(monkeypatch, relay, url, HTTP_PROXY="socks5://127.0.0.1:9")
