"""The door for other machines: who comes in, how guessing is slowed, and that memory stays bounded."""

import argparse
import asyncio
import contextlib
import pathlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fastapi
import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from app import __main__ as program
from app import door, guard, server
from app.words import say

PASSWORD = "桜の木の下で"
OWN = "http://192.168.0.7:7860"


class Clock:
    """The time as a test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(clock: Clock) -> TestClient:
    """A browser on another machine, before a program with one route."""
    app = fastapi.FastAPI()

    @app.get("/")
    @app.post("/change")
    def secret() -> str:
        return "secret"

    entrance = door.Door(PASSWORD, door.Attempts(clock))
    app.add_middleware(guard.Guard, is_own=guard.is_reachable, door=entrance)
    return TestClient(app, base_url=OWN, follow_redirects=False)


def enter(client: TestClient, password: str) -> Any:
    client.get(door.ENTRANCE)
    return client.post(door.ENTRANCE, data={"password": password}, headers={"Origin": OWN})


def test_without_the_password_there_is_only_the_entrance(client: TestClient) -> None:
    shown = client.get("/", headers={"Accept": "text/html"})
    assert (shown.status_code, shown.headers["location"]) == (303, door.ENTRANCE)
    assert client.get("/").status_code == 401
    assert "Password" in client.get(door.ENTRANCE).text
    assert client.post("/change", headers={"Origin": OWN}).status_code == 401
    for path in ("/change", "/gradio_api/info", "/nothing", "//enter", "/enter/x"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert "secret" not in answer.text


def test_the_password_lets_in_and_is_remembered(client: TestClient) -> None:
    answer = enter(client, PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    given = answer.headers["set-cookie"]
    assert "HttpOnly" in given
    assert PASSWORD not in given
    assert client.get("/").json() == "secret"
    assert client.post("/change", headers={"Origin": OWN}).json() == "secret"


def test_the_printed_address_lets_in_and_leaves_the_address_bar(client: TestClient) -> None:
    answer = client.get("/", params={"token": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert client.get("/").json() == "secret"


def test_a_link_on_a_page_from_elsewhere_neither_lets_in_nor_uses_up_a_try(client: TestClient) -> None:
    led = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for token in (PASSWORD, *["wrong"] * 9):
        answer = client.get("/", params={"token": token}, headers=led)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{door.ENTRANCE}?{door.LED}")
    assert say("door.led") in client.get(answer.headers["location"]).text
    assert client.get("/").status_code == 401
    assert enter(client, PASSWORD).status_code == 303


@pytest.mark.parametrize(
    "wrong", ["", "桜", PASSWORD + " ", PASSWORD.upper() + "x", "é" * 900, "\ud800".encode("utf-8", "replace").decode()]
)
def test_a_wrong_password_does_not(client: TestClient, wrong: str) -> None:
    answer = enter(client, wrong)
    assert answer.status_code == 401
    assert "That is not the password" in answer.text
    assert client.get("/").status_code == 401


def test_what_is_typed_is_not_repeated(client: TestClient) -> None:
    assert "<script>" not in enter(client, "<script>alert(1)</script>").text


def test_a_form_that_is_none_does_not_let_in(client: TestClient) -> None:
    client.get(door.ENTRANCE)
    for body in (b"\xff\xfe", b"password=" + b"x" * 5000, b"&".join(b"a=1" for _ in range(50)), b"{}"):
        assert client.post(door.ENTRANCE, content=body, headers={"Origin": OWN}).status_code in (401, 429)


@pytest.mark.parametrize("message", [{"type": "http.disconnect"}, None])
def test_a_form_that_never_comes_whole_is_not_waited_for(message: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HEAD_S", 0.1)

    async def receive() -> Any:
        return message or await asyncio.Event().wait()

    request = Request({"type": "http", "headers": [(b"content-length", b"9")]}, receive)
    # In a thread of its own, since other tests leave a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, asyncio.wait_for(door._typed(request), 60)).result() == ""


def test_a_made_up_session_does_not_let_in(client: TestClient) -> None:
    for value in ("9999999999.00", "9999999999", ".", "x.y", "", "9" * 4000):
        assert client.get("/", headers={"Cookie": f"atelier-session-7860={value}"}).status_code == 401


def test_who_leaves_is_out_also_with_a_copy_of_the_cookie(client: TestClient) -> None:
    assert 'action="/leave" hidden>' in client.get(door.ENTRANCE).text
    enter(client, PASSWORD)
    copied = {"Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}
    assert 'action="/enter" hidden>' in (inside := client.get(door.ENTRANCE).text)
    assert 'action="/leave" >' in inside
    assert client.get(door.EXIT, headers={"Accept": "text/html"}).status_code == 303
    assert client.get("/").json() == "secret", "to look is not to leave"
    answer = client.post(door.EXIT, headers={"Origin": OWN})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{door.ENTRANCE}?{door.LEFT}")
    assert say("door.left") in client.get(answer.headers["location"]).text
    assert client.get("/").status_code == 401
    assert client.get("/", headers=copied).status_code == 401


def test_the_memory_of_who_is_inside_is_bounded(monkeypatch: pytest.MonkeyPatch, client: TestClient) -> None:
    monkeypatch.setattr(door, "MOST_INSIDE", 2)
    enter(client, PASSWORD)
    first = {"Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}
    for _ in range(2):
        client.cookies.clear()
        enter(client, PASSWORD)
    assert client.get("/").json() == "secret"
    assert client.get("/", headers=first).status_code == 401


def test_a_session_ends(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(client, PASSWORD)
    now = door.time.time()
    monkeypatch.setattr(door.time, "time", lambda: now + door.SESSION_S + 1)
    assert client.get("/").status_code == 401


def test_guessing_is_slowed_the_longer_the_more_it_is_tried(client: TestClient, clock: Clock) -> None:
    for _ in range(door.FREE_TRIES):
        assert enter(client, "wrong").status_code == 401
    answer = enter(client, PASSWORD)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    clock.now += 2
    assert enter(client, PASSWORD).status_code == 303


def test_an_address_waits_ever_longer_and_is_forgiven_after_a_right_try(clock: Clock) -> None:
    attempts = door.Attempts(clock)
    waits = []
    for _ in range(30):
        while wait_s := attempts.wait_s("10.0.0.1"):
            waits.append(wait_s)
            clock.now += wait_s
    assert waits == sorted(waits)
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == door.LONGEST_WAIT_S
    assert attempts.wait_s("10.0.0.2") == 0
    attempts.forgive("10.0.0.1")
    assert attempts.wait_s("10.0.0.1") == 0


def test_many_addresses_make_all_wait_and_take_no_more_memory(clock: Clock) -> None:
    attempts = door.Attempts(clock)
    assert attempts.pause_s() == 0
    for number in range(5000):
        assert attempts.wait_s(f"10.0.{number // 256}.{number % 256}") == 0
    assert 4 < attempts.pause_s() <= door.LONGEST_PAUSE_S
    assert len(attempts._tries) == door.MOST_ADDRESSES
    clock.now += door.FORGOTTEN_AFTER_S + 1
    assert attempts.pause_s() == 0


def test_a_household_of_ipv6_is_one_address(clock: Clock) -> None:
    attempts = door.Attempts(clock)
    waits = [attempts.wait_s(f"2001:db8::{number:x}") for number in range(door.FREE_TRIES + 1)]
    assert waits[-1] > 0


def test_few_are_let_try_at_once(clock: Clock) -> None:
    attempts = door.Attempts(clock)
    for number in range(200):
        attempts.wait_s(f"10.1.0.{number}")
    entrance = door.Door(PASSWORD, attempts)

    async def knock(number: int) -> int:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"token=x"}
        scope["client"] = (f"10.2.0.{number}", 1)
        answer = await entrance._answer(door.Request(scope))
        return 0 if answer is None else answer.status_code

    async def crowd() -> list[int]:
        tasks = [asyncio.create_task(knock(number)) for number in range(door.MOST_AT_ONCE + 8)]
        await asyncio.sleep(0.05)
        done = [task.result() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return done

    # Not asyncio.run: it would drop, unclosed, the loop that Gradio has made for this thread.
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        assert loop.run_until_complete(crowd()) == [429] * 8


def test_the_password_comes_from_a_file_or_the_environment(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}long\n", encoding="utf-8")
    assert program.given_password(file) == f"{PASSWORD}long"
    monkeypatch.setenv(program.PASSWORD, "from the environment")
    assert program.given_password(None) == "from the environment"
    assert program.PASSWORD not in program.os.environ
    assert program.given_password(None) == ""


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe", None])
def test_a_bad_password_file_ends_the_program_with_a_sentence(
    content: bytes | None, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        program.given_password(file)
    assert ended.value.code == 2
    assert "the password" in capsys.readouterr().err


def test_listening_is_asked_for_with_an_address_or_without() -> None:
    def asked(*words: str) -> argparse.Namespace:
        return program.parser().parse_args(words)

    assert asked().listen is None
    assert asked("--listen").listen == "0.0.0.0"
    assert asked("--listen", "192.168.0.7").listen == "192.168.0.7"
    with pytest.raises(SystemExit):
        asked("--listen", "evil.example")
    with pytest.raises(SystemExit):
        program.main(["--password-file", "x"])


def test_other_machines_may_call_this_one_by_number_but_not_by_any_name() -> None:
    for host in ("192.168.0.7", "[fe80::1]", "localhost", server.socket.gethostname().lower()):
        assert guard.is_reachable(host), host
    for host in ("", "evil.example", "192.168.0.7.evil.example", "localhost.evil"):
        assert not guard.is_reachable(host), host


def test_without_a_password_a_token_is_made_up() -> None:
    one, other = server.Guests("0.0.0.0", ""), server.Guests("0.0.0.0", "")
    assert one.needed != other.needed
    assert len(one.needed) >= 32
    assert server.Guests("0.0.0.0", "a password").needed == "a password"
    assert server.address_of("192.168.0.7", 80) == "http://192.168.0.7:80"
    assert server.address_of("::1", 80) == "http://[::1]:80"
    assert "0.0.0.0" not in server.address_of("0.0.0.0", 80)
