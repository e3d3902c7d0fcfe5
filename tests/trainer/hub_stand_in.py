"""A small stand-in for the Hugging Face hub on this machine: as much of its manners as its real client asks for."""

import contextlib
import dataclasses
import hashlib
import http.server
import json
import pathlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

COMMIT = "c0ffee" + "0" * 34
BLOCK_BYTES = 2**18


@dataclasses.dataclass
class Hub:
    """What the stand-in has, how it behaves, and what it was asked: method, path, range, authorization."""

    repositories: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)
    gated: set[str] = dataclasses.field(default_factory=set)
    forbidden: set[str] = dataclasses.field(default_factory=set)
    asked: list[tuple[str, str, str, str]] = dataclasses.field(default_factory=list)
    bytes_per_s: float = 0.0
    break_after_bytes: int = 0
    damaged: bool = False
    address: str = ""

    def environment(self, cache: pathlib.Path) -> dict[str, str]:
        """What makes the client ask here and keep what it fetches in `cache`."""
        return {"HF_ENDPOINT": self.address, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}

    def fetched(self) -> list[str]:
        """The files that were given, in order."""
        return [
            path.split("/resolve/")[1].partition("/")[2]
            for method, path, *_ in self.asked
            if method == "GET" and "/resolve/" in path
        ]


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The stand-in at work on a port of its own."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()


def of_folder(folder: pathlib.Path) -> dict[str, bytes]:
    """The files of a folder, by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = (self.headers.get("Range", ""), self.headers.get("Authorization", ""))
        path = self.path.partition("?")[0]
        self.hub.asked.append((self.command, path, *headers))
        about = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/(?:resolve/[^/]+|elsewhere)/(.+)", path)
        found = about or file
        if not found or found[1] not in self.hub.repositories:
            self._answer(404, {"X-Error-Code": "RepoNotFound"}, b'{"error": "Repository not found"}')
        elif found[1] in self.hub.gated:
            self._answer(403, {"X-Error-Code": "GatedRepo"}, b'{"error": "Access is restricted"}')
        elif found[1] in self.hub.forbidden:
            self._answer(403, {}, b'{"error": "Forbidden"}')
        elif about:
            self._answer(200, {"Content-Type": "application/json"}, _about(about[1], self.hub.repositories[about[1]]))
        elif file and file[2] in self.hub.repositories[file[1]]:
            self._file(self.hub.repositories[file[1]][file[2]], f"/{file[1]}/elsewhere/{file[2]}")
        else:
            self._answer(404, {"X-Error-Code": "EntryNotFound"}, b"")

    def _file(self, content: bytes, elsewhere: str) -> None:
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        # Large files come from another host, as the hub's do.
        if len(content) > BLOCK_BYTES and "/elsewhere/" not in self.path:
            linked = {"X-Linked-ETag": etag, "X-Linked-Size": str(len(content))}
            port = self.hub.address.rpartition(":")[2]
            self._answer(302, {**headers, **linked, "Location": f"http://localhost:{port}{elsewhere}"}, b"")
            return
        if self.hub.damaged and len(content) > BLOCK_BYTES:
            content = bytes(len(content))
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self._answer(200, headers, content)
            return
        start, end = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        self._answer(206, headers, content[start : end + 1])

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        # Only of what is asked for from now on: an answer to somebody killed may still be under way.
        break_after_bytes = self.hub.break_after_bytes
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(content), BLOCK_BYTES):
                if 0 < break_after_bytes <= start:
                    self.hub.break_after_bytes = 0
                    self.close_connection = True
                    return
                self.wfile.write(content[start : start + BLOCK_BYTES])
                if self.hub.bytes_per_s and len(content) > BLOCK_BYTES:
                    time.sleep(BLOCK_BYTES / self.hub.bytes_per_s)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def _about(repository: str, files: dict[str, bytes]) -> bytes:
    siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
    return json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
