"""Who reaches the page, asked as browsers and intruders do, and by raw addresses that no client would send."""

import asyncio
import base64
import socket
import threading
import urllib.request

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from deepinside.core.errors import DeepInsideError
from deepinside.studio import serve as module
from deepinside.studio.runs import Runs
from deepinside.studio.serve import HEADERS, Guard, check, is_loopback, serve, studio

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


async def anything(request):
    return PlainTextResponse("the page")


INNER = Starlette(routes=[Route("/{path:path}", anything, methods=["GET", "POST"])])
LOCAL = {"localhost", "127.0.0.1", "[::1]"}


def client_of(auth=None, names=LOCAL, base="http://localhost:7860"):
    return TestClient(Guard(INNER, auth, names), base_url=base)


# ------------------------------------------------------------------------------------------------------- who may serve


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_this_machine_alone_needs_no_password(host):
    assert is_loopback(host)
    check(host, None)
    check(host, "me:secret")


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.0.7", "example.org", "", "localhost.example.org", "0177.0.0.1"]
)
def test_another_host_needs_a_name_and_a_password(host, desk):
    assert not is_loopback(host)
    for ask in (lambda: check(host, None), lambda: studio(desk, Runs(), host), lambda: serve(desk, Runs(), host, 0)):
        with pytest.raises(DeepInsideError, match="expected --auth NAME:PASSWORD for"):
            ask()
    check(host, "me:secret")


@pytest.mark.parametrize("auth", ["", ":", "me", "me:", ":secret"])
def test_half_a_password_is_none(auth):
    for host in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(DeepInsideError, match="expected --auth NAME:PASSWORD, got one of them at most"):
            check(host, auth)


# ----------------------------------------------------------------------------------------------------------- passwords


@pytest.mark.parametrize("auth", ["me:secret", "me:se:cr:et", "m\u00fc:\u732b"])
def test_the_right_password_opens_everything(auth):
    client = client_of(auth, None)
    assert client.get("/", headers=basic(auth)).text == "the page"
    lower = {"Authorization": basic(auth)["Authorization"].replace("Basic", "basic")}
    assert client.get("/", headers=lower).status_code == 200


@pytest.mark.parametrize(
    "header",
    [None, "", "Basic", "Basic ", "Basic !!!", "Basic bWU6c2VjcmV0x",
     "Bearer bWU6c2VjcmV0", "bWU6c2VjcmV0", "Basic \xe9",
     *(basic(text)["Authorization"]
       for text in ("me:", ":secret", "me:secret ", "me:Secret", "you:secret", "me:secre", "me", ""))],
    ids=str,
)  # fmt: skip
def test_another_password_opens_nothing(header):
    client = client_of("me:secret", None)
    given = {} if header is None else {"Authorization": header.encode("latin-1")}
    for method, path in (
        ("GET", "/"),
        ("POST", "/studio/photos"),
        ("GET", "/gradio_api/info"),
        ("GET", "/assets/x.js"),
    ):
        answer = client.request(method, path, headers=given)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="deepinside"'
        assert "the page" not in answer.text


# ------------------------------------------------------------------------------------------------------- foreign sites


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://localhost:7860.evil.example", "http://localhost:1", "null", ""]
)
def test_other_sites_cannot_post(origin):
    client = client_of()
    assert client.post("/studio/photos", headers={"Origin": origin}).status_code == 403


def test_the_page_itself_can_post():
    assert client_of().post("/studio/x", headers={"Origin": "http://localhost:7860"}).status_code == 200
    assert client_of().post("/studio/x").status_code == 200, "no browser"
    behind = {"Origin": "https://page.example", "Host": "page.example"}
    assert client_of("me:secret", None).post("/studio/x", headers=behind | basic("me:secret")).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil.example:7860", "", "127.0.0.1.nip.io", "[::2]:7860"]
)
def test_a_foreign_name_that_points_to_this_machine_gets_nothing(host):
    answer = client_of().get("/", headers={"Host": host})
    assert answer.status_code == 421
    assert "the page" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "127.0.0.1:80", "[::1]:7860", "[::1]"])
def test_this_machine_by_its_names(host):
    assert client_of().get("/", headers={"Host": host}).status_code == 200


def test_any_name_where_a_password_is_required():
    client = client_of("me:secret", module._names("0.0.0.0"))
    assert client.get("/", headers={"Host": "page.example"} | basic("me:secret")).status_code == 200
    assert module._names("127.0.0.2") >= {"127.0.0.2", "localhost"}


@pytest.mark.parametrize("path", ["/", "/nothing", "/gradio_api/upload"])
@pytest.mark.parametrize(
    "headers", [{}, {"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Authorization": "x"}], ids=str
)
def test_every_answer_has_the_headers(path, headers):
    answer = client_of("me:secret").get(path, headers=basic("me:secret") | headers)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value


# ---------------------------------------------------------------------------------------------- what Gradio has beside

CLOSED = [
    "/gradio_api/upload", "/gradio_api/upload_progress", "/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd",
    "/gradio_api/stream/x", "/gradio_api/proxy=http://localhost", "/proxy=http://localhost",
    "/gradio_api/deep_link", "/gradio_api/process_recording", "/gradio_api/vibe-code", "/gradio_api/undo-vibe-edit",
    "/gradio_api/custom_component/a/b/c/d", "/gradio_api/openapi.json", "/openapi.json",
]  # fmt: skip
VARIANTS = [
    lambda path: path,
    lambda path: "/" + path,
    lambda path: "//" + path,
    lambda path: path.replace("gradio_api/", "gradio_api//"),
    lambda path: path.replace("gradio_api", "./gradio_api"),
    lambda path: path.replace("/gradio_api", "/x/../gradio_api"),
    lambda path: path.replace("upload", "%75pload").replace("file", "%66ile"),
    lambda path: path.replace("gradio_api", "gradio%5Fapi"),
    lambda path: path.replace("gradio_api/", "gradio_api%2F"),
    lambda path: path.replace("/gradio_api", "/GRADIO_API"),
    lambda path: path + "/",
    lambda path: path.replace("=", "%3D"),
]


@pytest.fixture(scope="module")
def page():
    """The whole page, once: it takes a second to build."""
    from deepinside import Classifier
    from desks import desk_of
    from helpers import NAMES, Colors

    return studio(desk_of(Classifier(Colors(), labels=NAMES, size=32, name="colors")), Runs())


def raw(application, method, path, headers=()):
    """Status and body of the answer to a request whose path is sent as it is, as a server hands it on."""
    from urllib.parse import unquote

    told = {"body": b""}

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            told.update(status=message["status"], headers=dict(message["headers"]))
        else:
            told["body"] += message.get("body", b"")

    bare, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": unquote(bare),
        "raw_path": bare.encode(), "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 7860), "headers": [(b"host", b"127.0.0.1:7860"), *headers], "asgi": {"version": "3.0"},
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(application(scope, receive, send), 10))
    return told


@pytest.mark.parametrize("path", CLOSED)
def test_what_gradio_has_beside_the_page_is_closed(page, path):
    for variant in VARIANTS:
        for method in ("GET", "POST"):
            told = raw(page, method, variant(path))
            assert told["status"] in (404, 405), (method, variant(path), told)
            assert b"root:" not in told["body"]


def test_the_page_is_there(page):
    told = raw(page, "GET", "/")
    assert told["status"] == 200
    assert b"deepinside" in told["body"]
    assert told["headers"][b"content-security-policy"] == HEADERS["Content-Security-Policy"].encode()
    assert raw(page, "GET", "/studio/photo?photo=x")["status"] == 400
    for path in ("/docs", "/openapi.json", "/redoc", "/gradio_api/mcp/", "/monitoring"):
        assert raw(page, "GET", path)["status"] in (403, 404, 405), path


def test_the_page_fetches_nothing_from_elsewhere(page):
    told = raw(page, "GET", "/")["body"].decode()
    for elsewhere in ("fonts.googleapis.com", "cdn.jsdelivr.net", "cdnjs.cloudflare.com"):
        assert f'src="https://{elsewhere}' not in told
        assert f'<link rel="stylesheet" href="https://{elsewhere}' not in told


# ---------------------------------------------------------------------------------------------------------- the server


def test_a_port_that_is_taken_is_told_in_one_line(desk):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(DeepInsideError) as error:
        module._listening("127.0.0.1", taken.getsockname()[1])
    assert str(error.value).startswith(
        f"cannot serve at 127.0.0.1:{taken.getsockname()[1] if taken.fileno() > 0 else ''}"[:24]
    )
    assert str(error.value).endswith("; name another --port or --host")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("host", "port"), [("256.1.1.1", 0), ("no.such.host.invalid", 0), ("127.0.0.1", 70_000)])
def test_a_host_or_a_port_that_is_not_to_be_had_is_told(host, port):
    with pytest.raises(DeepInsideError, match=r"cannot serve at .*; name another --port or --host"):
        module._listening(host, port)


def test_any_free_port_is_told_and_serves_until_it_is_stopped(desk, monkeypatch):
    monkeypatch.setattr(module, "studio", lambda *given: Guard(INNER, None, LOCAL))
    servers, told, there = [], [], threading.Event()
    own = module.uvicorn.Server

    def server(config):
        servers.append(own(config))
        return servers[-1]

    monkeypatch.setattr(module.uvicorn, "Server", server)
    serving = threading.Thread(
        target=serve,
        args=(desk, Runs()),
        kwargs={"port": 0, "tell": lambda address: (told.append(address), there.set())},
    )
    serving.start()
    try:
        assert there.wait(20)
        assert told[0].startswith("http://127.0.0.1:")
        assert not told[0].endswith(":0")
        with urllib.request.urlopen(told[0], timeout=20) as answer:
            assert answer.read() == b"the page"
    finally:
        while not servers:
            pass
        servers[0].should_exit = True
        serving.join(20)
    assert not serving.is_alive()


def test_other_connections_than_http_are_closed():
    """Whoever opens one has shown no password."""
    with pytest.raises(WebSocketDisconnect), client_of("me:secret").websocket_connect("/"):
        pass
