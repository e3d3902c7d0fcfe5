"""Who is turned away: every route, ours and Gradio's, whatever the way in."""

import contextlib
import gc
import json
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import Headers
from starlette.websockets import WebSocketDisconnect

from app import guard, main, places
from app.main import create_app
from trainer.run import queue

HOST = "127.0.0.1:7860"
OWN = f"http://{HOST}"
ROUTES = (
    *(
        "/",
        "/config",
        "/runs",
        "/live/x",
        "/samples/x",
        "/sample/x/a.png",
        "/weights/x/a",
        "/log/x",
        "/thumb?path=a&key=b",
    ),
    *("/islands/page.js", "/theme.css", "/static/x", "/assets/x", "/favicon.ico", "/manifest.json", "/svelte/x"),
    *("/gradio_api/info", "/gradio_api/queue/data?session_hash=x", "/gradio_api/heartbeat/x", "/gradio_api/app_id"),
    *("/gradio_api/file=x", "/gradio_api/startup-events", "/gradio_api/upload_progress?upload_id=x", "/nothing"),
)
CHANGING = ("queue/join", "component_server", "upload", "cancel", "reset", "run/predict", "call/load", "login")


@contextlib.contextmanager
def unclosed_forgotten() -> Iterator[None]:
    """Gradio and its queue leave event loops and sockets behind; no later test is to be blamed for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The whole application, as it is served."""
    folder = tmp_path_factory.mktemp("program")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORA_ATELIER_HOME", str(folder))
        patch.setenv("LORA_ATELIER_OUTPUTS", str(folder / "outputs"))
        with unclosed_forgotten():
            app = create_app()
        yield app
        with unclosed_forgotten():
            del app


@pytest.fixture
def client(program: Any) -> TestClient:
    """A browser that has not loaded a page yet."""
    return TestClient(program, base_url=OWN, follow_redirects=False)


@pytest.fixture
def visitor(client: TestClient) -> TestClient:
    """A browser that has loaded the visitor."""
    assert client.get("/").status_code == 200
    return client


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "localhost.evil",
        "127.0.0.1.evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1:7860@evil.example",
        "127.0.0.1:evil",
        "127.0.0.1, evil.example",
        "192.168.0.5:7860",
        "localhost.",
        "",
    ],
)
def test_a_foreign_host_is_turned_away(client: TestClient, host: str) -> None:
    answer = client.get("/runs", headers={"Host": host})
    assert answer.status_code == 400
    assert answer.text.startswith("This address is not one of")


def test_a_foreign_host_gets_nothing_from_any_route(client: TestClient) -> None:
    foreign = {"Host": "evil.example:7860", "Origin": "http://evil.example:7860"}
    for route in ROUTES:
        for method in ("GET", "POST", "OPTIONS"):
            answer = client.request(method, route, headers=foreign)
            assert answer.status_code == 400, (method, route)
            assert "set-cookie" not in answer.headers
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "LOCALHOST:7860", "localhost"])
def test_the_machines_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/runs", headers={"Host": host}).status_code == 200


def test_two_host_headers_are_none() -> None:
    pair = [(b"host", b"127.0.0.1"), (b"host", b"evil.example")]
    assert guard.host_of(Headers(raw=pair)) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": f"http://{HOST}.evil.example"},
        {"Origin": f"http://evil.example/{HOST}"},
        {"Origin": f"{OWN}/x"},
        {"Origin": f"chrome-extension://{HOST}"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_a_foreign_page_changes_nothing(visitor: TestClient, headers: dict[str, str]) -> None:
    for route in CHANGING:
        for method in ("POST", "OPTIONS"):
            answer = visitor.request(method, f"/gradio_api/{route}", headers=headers, content=b"{}")
            assert answer.status_code == 403, route
            assert "access-control-allow-origin" not in answer.headers


def test_a_foreign_page_shows_and_reads_nothing_but_may_link_here(client: TestClient) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    for route in ROUTES:
        for mode, dest in (("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")):
            said = {**foreign, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
            assert client.get(route, headers=said).status_code == 403, (route, dest)
    link = {**foreign, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=link).status_code == 200


def test_what_changes_something_needs_the_cookie_of_a_page(client: TestClient) -> None:
    asked = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}
    for route in CHANGING:
        answer = client.post(f"/gradio_api/{route}", headers=asked, json={})
        assert answer.status_code in (403, 404), route
    assert client.post("/gradio_api/reset", headers=asked, json={}).status_code == 403
    given = client.get("/").headers["set-cookie"]
    assert "HttpOnly" in given
    assert "SameSite=strict" in given or "SameSite=Strict" in given
    assert client.post("/gradio_api/reset", headers=asked, json={"event_id": "x"}).status_code == 200


def test_a_wrong_or_strange_cookie_is_none(client: TestClient) -> None:
    for value in ("atelier-page-7860=0123", "atelier-page-7860=é", "=;;=", 'atelier-page-7860="', "x" * 5000):
        answer = client.post("/gradio_api/reset", headers={"Cookie": value.encode()}, json={"event_id": "x"})
        assert answer.status_code == 403, value


def test_a_socket_from_elsewhere_or_without_the_cookie_is_closed(visitor: TestClient, program: Any) -> None:
    for client, headers in (
        (visitor, {"Host": "evil.example"}),
        (visitor, {"Host": HOST, "Origin": "http://evil.example"}),
        (TestClient(program, base_url=OWN), {"Host": HOST, "Origin": OWN}),
    ):
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/queue/join", headers=headers):
            pass
        assert closed.value.code == 1008


def test_too_large_or_endless_requests_are_refused_unread(visitor: TestClient) -> None:
    large = str(guard.MAX_BODY_BYTES + 1)
    for length in (large, "9" * 40, "-1", "x"):
        answer = visitor.post("/gradio_api/component_server", content=b"{}", headers={"Content-Length": length})
        assert answer.status_code == 413
    assert visitor.post("/gradio_api/upload", content=iter([b"x"])).status_code == 413
    both = {"Content-Length": "1", "Transfer-Encoding": "chunked"}
    assert visitor.post("/gradio_api/upload", content=b"x", headers=both).status_code == 413


FILES = (
    *(
        "/etc/passwd",
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        "....//etc/passwd",
        "%00",
        "a%00.png",
    ),
    *("C:/Windows/win.ini", "C:%5cWindows%5cwin.ini", "%5c%5cevil%5cshare%5cx.png", "//evil/share/x.png"),
    *("file:///etc/passwd", "http://127.0.0.1:1/x", "%5c%5c%3f%5cC:%5cx", "app/main.py", "pyproject.toml"),
)


@pytest.mark.parametrize("start", ["/gradio_api/file=", "/gradio_api/file/", "/gradio_api/proxy=", "/file=", "/proxy="])
def test_no_file_is_had_by_its_path(visitor: TestClient, start: str, tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    for file in (*FILES, str(secret), *os.listdir(".")):
        answer = visitor.get(start + file)
        assert answer.status_code == 404, file
        assert b"secret" not in answer.content
        assert b"root:" not in answer.content


@pytest.mark.parametrize(
    "start", ["/static/", "/assets/", "/svelte/", "/islands/", "/sample/x/", "/log/", "/pwa_icon/"]
)
def test_the_files_of_the_program_do_not_lead_out_of_their_folders(visitor: TestClient, start: str) -> None:
    for file in FILES:
        answer = visitor.get(start + file)
        # Gradio has an icon for every size, whatever is asked for.
        assert answer.status_code in (400, 403, 404, 422) or "image" in answer.headers["content-type"], file
        assert b"root:" not in answer.content


@pytest.mark.parametrize(
    "route",
    [
        *(
            "stream/x/close",
            "vibe-edit",
            "vibe-code",
            "run-history/records",
            "runs",
            "deep_link",
            "dev/reload",
            "profiling/traces",
        ),
        *("process_recording", "custom_component/x/y/z/a.js", "token", "user", "openapi.json", "", "call/load/x"),
    ],
)
def test_what_no_page_here_needs_of_gradio_is_closed(visitor: TestClient, route: str) -> None:
    assert visitor.get(f"/gradio_api/{route}").status_code == 404
    assert visitor.post(f"/gradio_api/{route}", json={}).status_code == 404


def test_an_upload_is_only_what_was_uploaded(visitor: TestClient, program: Any, tmp_path: pathlib.Path) -> None:
    """A page names the files that it has uploaded by their paths; another path is no upload."""
    (tmp_path / "secret.json").write_text('{"title": "secret"}')
    config = visitor.get("/config").json()
    button = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "upload-preset")
    number = next(each["id"] for each in config["dependencies"] if [button, "upload"] in each["targets"])
    for path in (str(tmp_path / "secret.json"), "/etc/passwd", "../../etc/passwd", "http://127.0.0.1:1/x"):
        data = [[{"path": path, "meta": {"_type": "gradio.FileData"}}]]
        with visitor:
            visitor.post("/gradio_api/queue/join", json={"data": data, "fn_index": number, "session_hash": path})
            with visitor.stream("GET", "/gradio_api/queue/data", params={"session_hash": path}) as answer:
                said = "".join(answer.iter_text())
        ends = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: ") and "completed" in line]
        assert ends, said
        assert not ends[0]["success"], (path, ends)
        assert "secret" not in json.dumps(ends[0]["output"].get("data", ""))


@pytest.mark.parametrize("field", ["upload-preset", "pasted", "save-title"])
def test_an_address_is_no_upload_and_nobody_is_asked_for_it(visitor: TestClient, asked: list[str], field: str) -> None:
    """Gradio looks for uploads in whatever is sent for any field, and would fetch one that is an address."""
    config = visitor.get("/config").json()
    part = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == field)
    call = next(each for each in config["dependencies"] if part in each["inputs"] and each["backend_fn"])
    for scheme in ("http", "HTTPS", "hTTp"):
        file = {"path": f"{scheme}://pictures.example/x.json", "meta": {"_type": "gradio.FileData"}}
        data = [[file] if field == "upload-preset" and each == part else file for each in call["inputs"]]
        sent = {"data": data, "fn_index": call["id"], "session_hash": f"{field}{scheme}"}
        with visitor:
            visitor.post("/gradio_api/queue/join", json=sent)
            with visitor.stream("GET", "/gradio_api/queue/data", params={"session_hash": f"{field}{scheme}"}) as answer:
                said = "".join(answer.iter_text())
        assert '"success":false' in said.replace(" ", ""), said
    assert not [host for host in asked if "pictures" in host]


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[str]]:
    """The names that this process looks up and the addresses that it turns to, from now on."""
    found: list[str] = []
    open_ended = [True]

    def heard(event: str, given: tuple[Any, ...]) -> None:
        if open_ended and event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect"):
            found.append(ascii(given))

    sys.addaudithook(heard)
    yield found
    open_ended.clear()


@pytest.fixture
def asked(hosts: list[str]) -> list[str]:
    """The same, of one test."""
    hosts.clear()
    return hosts


def test_every_answer_says_where_things_may_come_from(visitor: TestClient) -> None:
    for route in ("/", "/runs", "/gradio_api/info"):
        headers = visitor.get(route).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_page_that_is_loaded_again_and_again_leaves_only_the_last_few_behind(program: Any) -> None:
    (gradio,) = (route.app for route in program.routes if hasattr(getattr(route, "app", None), "state_holder"))
    for number in range(3 * main.PAGES_REMEMBERED):
        assert gradio.state_holder[f"page {number}"]
    assert len(gradio.state_holder.session_data) <= main.PAGES_REMEMBERED


@pytest.mark.parametrize("button", ["start-anyway", "add-to-queue", "put-back"])
def test_nothing_that_is_wrong_is_begun_by_who_goes_round_the_checks_of_the_page(
    visitor: TestClient, button: str
) -> None:
    config = visitor.get("/config").json()
    named = {each["props"].get("elem_id"): each["id"] for each in config["components"]}
    acts = [each for each in config["dependencies"] if [named[button], "click"] in each["targets"]]
    act = max(acts, key=lambda each: len(each["outputs"]))  # the others only say what is wrong
    held = {each["id"]: each["props"].get("value") for each in config["components"]}
    held[named["f-model-base"]] = "/nowhere/model.safetensors"
    asked = {"fn_index": act["id"], "data": [held[number] for number in act["inputs"]]}
    answer = visitor.post("/gradio_api/run/predict", json=asked)
    assert answer.status_code == 200
    assert "nowhere" in str(answer.json()["data"])
    assert places.runs() == []
    assert queue.entries() == []
