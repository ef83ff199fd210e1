"""A live app with something worth stealing around it, and a client that sends whatever bytes it likes."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.ui.browser import started
from tests.ui.made import done_session

LOOT = "LOOT-b7e1c0"
"""Stands in every file and variable that nobody may get; no answer may hold it."""
PICTURE = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000") + b"\x1f\x15\xc4\x89"
SCRIPT = "<html><script>window.pwned=1</script></html>"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Live:
    """The app's address, the sessions it shows, and files beside them."""

    port: int
    runs: Path
    outside: Path
    _config: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """One request on a connection of its own; `Host` is the app's own unless given."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            send(connection, method, path, {"Host": self.host, **(headers or {})}, body)
            return read(connection.getresponse())
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """Whatever comes back for these very bytes."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as link:
            link.sendall(data)
            link.settimeout(0.7)
            parts = []
            try:
                while part := link.recv(65536):
                    parts.append(part)
            except (TimeoutError, ConnectionError):
                pass
            return b"".join(parts)

    def file(self, path: Path | str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("/gradio_api/file=" + quote(str(path)), headers=headers)

    def upload(self, name: str, data: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        part = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        sent = {"Content-Type": "multipart/form-data; boundary=b", "Origin": self.origin, **(headers or {})}
        return self.ask("/gradio_api/upload", "POST", sent, part + data + b"\r\n--b--\r\n")

    def post(self, path: str, data: object, headers: Mapping[str, str] | None = None) -> Answer:
        sent = {"Content-Type": "application/json", "Origin": self.origin, **(headers or {})}
        return self.ask(path, "POST", sent, json.dumps(data).encode())

    @property
    def config(self) -> dict[str, Any]:
        if not self._config:
            self._config = self.ask("/config").json
        return self._config

    def event(self, name: str) -> dict[str, Any]:
        """The page's event whose handler is called so."""
        return next(d for d in self.config["dependencies"] if d["api_name"] == name)

    def call(self, name: str, data: Sequence[object], headers: Mapping[str, str] | None = None) -> str:
        """What the page would be told, the whole stream as text, when it did this."""
        session = uuid.uuid4().hex
        asked = {"data": list(data), "fn_index": self.event(name)["id"], "session_hash": session}
        joined = self.post("/gradio_api/queue/join", asked, headers)
        if joined.status != 200:
            return f"status {joined.status} {joined.body.decode()}"
        stream = self.ask(f"/gradio_api/queue/data?session_hash={session}", headers=headers)
        return stream.body.decode()

    def defaults(self, name: str, **changes: object) -> list[object]:
        """What the page would send with an event: the fields' values, some of them others, by elem_id or label."""
        found = {c["id"]: c["props"] for c in self.config["components"]}
        values = []
        for number in self.event(name)["inputs"]:
            props = found[number]
            known = [k for k in (props.get("elem_id"), props.get("label")) if k in changes]
            values.append(changes[known[0]] if known else props.get("value"))
        return values


def send(connection: HTTPConnection, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> None:
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)


def read(reply: HTTPResponse) -> Answer:
    try:
        body = reply.read()
    except HTTPException:
        body = b""
    return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, body)


@contextmanager
def live(folder: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Live]:
    """The app with a session that is done, made worse by whoever it was downloaded from."""
    runs, outside = folder / "runs", folder / "outside"
    runs.mkdir(parents=True)
    outside.mkdir()
    (outside / "loot.txt").write_text(f"{LOOT}\n")
    (outside / "loot.yaml").write_text(f"question: {LOOT}\n")
    (outside / "loot.png").write_bytes(PICTURE + LOOT.encode())
    session = done_session(runs)
    spoil(session, outside)
    variables = {"EVIL_API_KEY": LOOT, "OPENAI_API_KEY": LOOT, "AWS_SECRET_ACCESS_KEY": LOOT}
    home = {"BRACKET_CACHE": str(folder / "cache"), "BRACKET_CONFIG": str(folder / "config")}
    with started(runs, folder / "app.log", {**variables, **home, **(env or {})}, options=options) as url:
        yield Live(urlsplit(url).port or 0, runs, outside)
    log = (folder / "app.log").read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:6000]


def spoil(session: Path, outside: Path) -> None:
    """What a downloaded session may hold beside its pictures."""
    samples = session / "trials" / "search-000" / "samples"
    (samples / "x.html").write_text(SCRIPT)
    (samples / "x.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg">{SCRIPT}</svg>')
    (samples / "x.png").write_text(SCRIPT)
    (samples / "real.png").write_bytes(PICTURE)
    (session / "trials" / "search-000" / "secret.txt").write_text(LOOT)
    for name, target in {"link.png": "loot.png", "link.txt": "loot.txt"}.items():
        os.symlink(outside / target, samples / name)
    os.symlink(outside, session / "confirm" / "linked", target_is_directory=True)
    os.symlink("/etc", session / "before" if not (session / "before").exists() else session / "before" / "etc")
