"""Thousands of crafted requests, drawn with a fixed seed: nothing gets through, and what is right goes on working."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.redteam.live import LOOT, PICTURE, Answer, Live, live, read, send
from tests.redteam.test_attacks import HOSTS, ORIGINS, places, sample

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REQUESTS = 6000
ROUTES = (
    *(
        "queue/join",
        "queue/data?session_hash=x",
        "run/predict",
        "upload",
        "component_server",
        "cancel",
        "reset",
        "info",
    ),
    *(
        "heartbeat/x",
        "proxy=http://127.0.0.1",
        "stream/x",
        "deep_link?session_hash=x",
        "dev/reload",
        "token",
        "runs",
        "",
    ),
    *(
        "vibe-code",
        "call/_use",
        "process_recording",
        "openapi.json",
        "user",
        "login_check",
        "app_id",
        "x",
        "file",
        "mcp",
    ),
)
BODIES = (b"", b"{}", b"[]", b'{"data":[],"fn_index":40,"session_hash":"x"}', b'{"data":[1e999]}', b"\xff", b"a=b&c=d")
TYPES = ("application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "")
METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "G\x7f")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("flood")) as found:
        yield found


Crafted = tuple[str, str, dict[str, str], bytes | None]


def crafted(app: Live, rng: random.Random, wrong: list[str]) -> Crafted:
    """A request with at least one thing that must be refused: method, path, headers, body."""
    kind = rng.choice(("host", "origin", "site", "file", "route", "method", "forwarded"))
    headers = {"Host": app.host, "Content-Type": rng.choice(TYPES)}
    path = f"/gradio_api/{rng.choice(ROUTES)}"
    method, body = rng.choice((("GET", None), ("POST", rng.choice(BODIES))))
    other = {"port": app.port, "other": app.port + 1}
    if kind == "host":
        headers["Host"] = rng.choice(HOSTS).format(**other)
        headers["Origin"] = f"http://{headers['Host']}"
    elif kind == "origin":
        headers["Origin"] = rng.choice(ORIGINS).format(**other)
    elif kind == "site":
        headers |= {
            "Sec-Fetch-Site": rng.choice(("cross-site", "same-site")),
            "Sec-Fetch-Mode": rng.choice(("cors", "no-cors")),
        }
    elif kind == "forwarded":
        headers["X-Forwarded-Host"] = rng.choice([h for h in HOSTS if h.strip() and "," not in h]).format(**other)
    elif kind == "file":
        place = rng.choice(wrong)
        written = "".join(f"%{ord(c):02x}" if c.isascii() and rng.random() < 0.2 else quote(c) for c in place)
        path, method, body = f"/gradio_api/file={written}", "GET", None
    elif kind == "method":
        method, body = rng.choice(METHODS[3:]), None
    else:
        path, method, body = f"/gradio_api/{rng.choice(ROUTES[9:17])}/{rng.randbytes(4).hex()}", "GET", None
    return method, path, headers, body


def test_thousands_of_crafted_requests_get_nothing(app: Live) -> None:
    rng, wrong, seen = random.Random(11), places(app), Counter[int]()
    before = {p: p.stat().st_mtime_ns for p in Path(app.runs.parent).rglob("*") if "cache" not in p.parts}
    connection = HTTPConnection("127.0.0.1", app.port, timeout=20)
    for number in range(REQUESTS):
        method, path, headers, body = crafted(app, rng, wrong)
        try:
            send(connection, method, path, headers, body)
            answer = read(connection.getresponse())
        except (HTTPException, ConnectionError, ValueError):  # the client or the server broke it off
            connection.close()
            connection = HTTPConnection("127.0.0.1", app.port, timeout=20)
            seen[0] += 1
            continue
        seen[answer.status] += 1
        assert 400 <= answer.status < 500, (number, method, path, headers)
        assert nothing_in(answer), (number, method, path, headers)
        if number % 500 == 0:
            shown = app.file(sample(app, "real.png"))
            assert (shown.status, shown.body) == (200, PICTURE) and app.ask("/").status == 200
    connection.close()
    print(dict(seen))
    assert seen.total() - seen[0] >= 5000, seen
    after = {p: p.stat().st_mtime_ns for p in Path(app.runs.parent).rglob("*") if "cache" not in p.parts}
    changed = {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
    assert not [p for p in changed if p.name not in ("app.log",)], changed
    assert '"success":true' in app.call("lambda", [])


def nothing_in(answer: Answer) -> bool:
    lets_in = any(h.startswith("access-control-allow") for h in answer.headers)
    return not lets_in and not re.search(rb"root:x:|zorp|" + LOOT.encode(), answer.body)
