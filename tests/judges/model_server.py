"""A real HTTP server on this machine that speaks the OpenAI dialect, well or badly, as a test tells it to."""

from __future__ import annotations

import base64
import io
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

Body = Mapping[str, Any]


class Reaction:
    """What the server does with one request: a status, headers and a body, or something worse."""

    def __init__(
        self, status: int = 200, body: Any = None, headers: Mapping[str, str] | None = None, *, delay: float = 0.0,
        cut: int = 0, drop: bool = False, drip: float = 0.0, kind: str = "application/json",
    ) -> None:  # fmt: skip
        """
        Args:
            delay: seconds before anything is sent.
            cut: bytes of the body that are promised but never sent.
            drop: close the connection without a word.
            drip: seconds between two bytes.
        """
        self.status, self.headers, self.kind = status, dict(headers or {}), kind
        self.data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        self.delay, self.cut, self.drop, self.drip = delay, cut, drop, drip


def completion(text: Any, logprobs: Any = None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    return {"object": "chat.completion", "choices": [{**choice, "logprobs": logprobs}]}


def token_logprobs(*places: tuple[str, Mapping[str, float]]) -> dict[str, Any]:
    """Log-probabilities from (said token, probability of each candidate) of every place."""
    content = []
    for said, chances in places:
        top = [{"token": t, "logprob": math.log(p), "bytes": list(t.encode())} for t, p in chances.items()]
        content.append({"token": said, "logprob": math.log(chances.get(said, 0.5)), "top_logprobs": top})
    return {"content": content}


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def texts(body: Body) -> list[str]:
    """Every text of the last message of a request."""
    return [p["text"] for p in body["messages"][-1]["content"] if p["type"] == "text"]


def pictures(body: Body) -> list[Image.Image]:
    """Every picture of the last message of a request."""
    urls = [p["image_url"]["url"] for p in body["messages"][-1]["content"] if p["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(u.split("base64,")[1]))) for u in urls]


def is_probe(body: Body) -> bool:
    """Whether this is the client's own small question about a picture in one colour."""
    return "Which colour" in texts(body)[0]


def colour_of(body: Body) -> str:
    """What a model with eyes says to that question."""
    pixel = pictures(body)[0].convert("RGB").getpixel((5, 5))
    assert isinstance(pixel, tuple)
    return ("red", "green", "blue")[pixel.index(max(pixel))]


class TestServer:
    """Answers `POST /v1/chat/completions` and `GET /v1/models`.

    Attributes:
        chat: what a request to chat is answered with: a completion, or a Reaction.
        script: reactions for the next requests about pictures of a test, before `chat` has its turn.
        capable: which settings this server knows of; it refuses or ignores the others.
        requests: the bodies of all chat requests; `headers` of all requests.
        most: the most chat requests that were being answered at once.
    """

    __test__ = False

    def __init__(self) -> None:
        self.logprobs: str = "gives"
        self.schema: str = "gives"
        self.chat: Callable[[Body], Any] = self._answer
        self.script: list[Reaction] = []
        self.models: Any = {"object": "list", "data": [{"id": "eye", "object": "model"}, {"id": "ear"}]}
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.now = self.most = 0
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The chat requests without the client's own."""
        return [b for b in self.requests if not is_probe(b)]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def react(self, path: str, body: Body | None) -> Reaction:
        self.paths.append(path)
        if body is None:
            found = self.models if path == "/v1/models" else Reaction(404, error("no such page"))
            return found if isinstance(found, Reaction) else Reaction(200, found)
        with self._lock:
            self.requests.append(dict(body))
            self.now += 1
            self.most = max(self.most, self.now)
            scripted = self.script.pop(0) if self.script and not is_probe(body) else None
        try:
            found = scripted or self._refusal(body) or self.chat(body)
        finally:
            with self._lock:
                self.now -= 1
        return found if isinstance(found, Reaction) else Reaction(200, found)

    def _refusal(self, body: Body) -> Reaction | None:
        if "logprobs" in body and self.logprobs == "refuses":
            return Reaction(400, error("logprobs are not supported here", param="logprobs"))
        if "response_format" in body and self.schema == "refuses":
            return Reaction(400, error("'response_format.type' must be 'text'"))
        return None

    def _answer(self, body: Body) -> Any:
        """Says the colour of the client's own picture, else "good" of five words."""
        if is_probe(body):
            word = colour_of(body)
            chances = {word: 0.9, "It": 0.05}
        else:
            word, chances = "good", {"good": 0.6, " Good": 0.1, "exc": 0.2, "fair": 0.05, "The": 0.04}
        return self.complete(body, word, (word, chances))

    def complete(self, body: Body, word: str, *places: tuple[str, Mapping[str, float]]) -> dict[str, Any]:
        """A completion in the form that was asked for, as far as this server knows of it."""
        if "logprobs" in body and self.logprobs == "gives":
            return completion(word, token_logprobs(*places))
        if "response_format" in body and self.schema == "gives":
            return completion(json.dumps({"answer": word}))
        return completion(word)


class _Handler(BaseHTTPRequestHandler):
    owner: TestServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send(None)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(json.loads(data))

    def _send(self, body: Body | None) -> None:
        self.owner.headers.append(dict(self.headers))
        reaction = self.owner.react(self.path, body)
        try:
            self._write(reaction)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _write(self, reaction: Reaction) -> None:
        time.sleep(reaction.delay)
        if reaction.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reaction.status)
        for name, value in {"Content-Type": reaction.kind, **reaction.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reaction.data)))
        self.end_headers()
        kept = reaction.data[: len(reaction.data) - reaction.cut]
        for piece in _pieces(kept, reaction.drip):
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(reaction.drip)
        if reaction.cut:
            self.close_connection = True


def _pieces(data: bytes, drip: float) -> Iterable[bytes]:
    return (data[i : i + 1] for i in range(len(data))) if drip else [data]
