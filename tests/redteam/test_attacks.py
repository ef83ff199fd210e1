"""Attacks on a live app: each must get nothing, and beside it stands the same thing done rightly, which works."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redteam.live import LOOT, PICTURE, Live, live

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FAR = {"X-Forwarded-For": "203.0.113.7"}
"""Through a proxy on this machine: not somebody at the machine itself."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("app")) as found:
        yield found


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An app that asks for a password."""
    folder = tmp_path_factory.mktemp("locked")
    with live(folder, env={"BRACKET_AUTH": "anna:opensesame"}) as found:
        yield found


def sample(app: Live, name: str) -> Path:
    return app.runs / "zorp" / "trials" / "search-000" / "samples" / name


# Another site's page, in the browser of whoever runs the app.

HOSTS = (
    *("evil.test", "evil.test:{port}", "127.0.0.1.evil.test", "localhost.evil.test", "127.0.0.1@evil.test"),
    *("evil.test@127.0.0.1", "127.0.0.1:{port}@evil.test", "192.0.2.9", "[2001:db8::1]", "0.0.0.0", "", "127.1"),
    *("2130706433", "0x7f000001", "127.0.0.1:99999999", "127.0.0.1, evil.test", "localhost/evil.test", "a b"),
    *("evil.gradio.live", "x.proxy.runpod.net", "[::1", "127.0.0.1\\evil.test", "localhost%2eevil.test"),
)
PATHS = (
    *("/", "/config", "/theme.css", "/static/img/logo.svg", "/gradio_api/info", "/gradio_api/heartbeat/x", "/pulse"),
    *("/gradio_api/queue/data?session_hash=x", "/gradio_api/upload_progress?upload_id=x", "/gradio_api/user"),
)


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_that_was_made_to_point_here_gets_nothing(app: Live, host: str) -> None:
    for path in PATHS:
        assert app.ask(path, headers={"Host": host.format(port=app.port)}).status in (400, 403), path
    picture = app.file(sample(app, "real.png"), {"Host": host.format(port=app.port)})
    assert (picture.status, PICTURE in picture.body) in ((400, False), (403, False))
    joined = {"data": [], "fn_index": 40, "session_hash": "x"}
    for origin in (f"http://{host.format(port=app.port)}", app.origin):
        headers = {"Host": host.format(port=app.port), "Origin": origin}
        assert app.post("/gradio_api/queue/join", joined, headers).status in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:{port}", "localhost.:1"])
def test_this_machines_own_names_are_answered(app: Live, host: str) -> None:
    assert app.ask("/", headers={"Host": host.format(port=app.port)}).status == 200


ORIGINS = (
    *(
        "http://evil.test",
        "https://evil.test",
        "null",
        "http://127.0.0.1:{other}",
        "http://localhost:{other}",
        "file://",
    ),
    *(
        "http://127.0.0.1.evil.test:{port}",
        "http://evil.test:{port}",
        "chrome-extension://abc",
        "",
        "http://0.0.0.0:{port}",
    ),
    *("http://127.0.0.1:{port}.evil.test", "http://127.0.0.1:{port}@evil.test", "http://evil.test/127.0.0.1:{port}"),
    "http://127.0.0.1:{port} http://evil.test",
)


@pytest.mark.parametrize("origin", ORIGINS)
def test_another_sites_page_changes_nothing(app: Live, origin: str) -> None:
    headers = {"Origin": origin.format(port=app.port, other=app.port + 1)}
    before = sorted(p.name for p in app.runs.iterdir())
    for path in ("queue/join", "run/predict", "cancel", "reset", "component_server"):
        answer = app.post(f"/gradio_api/{path}", {"data": [], "fn_index": 40, "session_hash": "x"}, headers)
        assert answer.status == 403 and not any(h.startswith("access-control-") for h in answer.headers)
    assert app.upload("x.png", PICTURE, headers).status == 403
    assert app.ask("/gradio_api/heartbeat/x", headers=headers).status == 403
    assert app.ask("/pulse?session=zorp&meter=1", headers=headers).status == 403
    assert app.file(sample(app, "real.png"), headers).status == 403
    assert sorted(p.name for p in app.runs.iterdir()) == before


def test_the_pulse_tells_its_page_and_nothing_of_what_it_was_asked(app: Live) -> None:
    told = app.ask("/pulse?session=zorp&meter=1").json
    assert set(told) == {"stamp", "live", "meter"} and told["live"] is False
    for session in ("../outside", "%00", "%ff", "x" * 5000, "<script>", "a&session=b", "/etc/passwd"):
        answer = app.ask(f"/pulse?session={session}&meter=")
        assert answer.status == 200 and set(answer.json) == {"stamp", "live"}
    for path in ("/pulse/", "/pulse/x", "/pulsed", "//pulse"):
        assert app.ask(path).status in (404, 400), path
    assert app.post("/pulse", {}).status in (404, 405)


def test_the_pages_own_events_work(app: Live) -> None:
    assert '"success":true' in app.call("lambda", [])
    assert app.post("/gradio_api/cancel", {"session_hash": "x", "fn_index": 0, "event_id": "x"}).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("dest", ["image", "script", "iframe", "empty", "object", "document"])
def test_what_a_browser_says_comes_from_another_site(app: Live, site: str, dest: str) -> None:
    """Also without an Origin: pictures, frames, forms."""
    mode = "navigate" if dest in ("iframe", "document", "object") else "no-cors"
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    for path in ("/config", "/logout", "/pulse", "/gradio_api/heartbeat/x", "/static/img/logo.svg"):
        answer = app.ask(path, headers=headers)
        assert answer.status == 403, path
    assert app.file(sample(app, "real.png"), headers).status == 403
    assert app.post("/gradio_api/cancel", {}, {"Origin": "", **headers}).status == 403
    assert app.ask("/", headers=headers).status == (200 if dest == "document" else 403), "a link may open the page"


def test_no_origin_is_let_in_by_a_preflight(app: Live) -> None:
    for host in (app.host, "localhost", "box.local"):
        asked = {"Host": host, "Origin": "http://evil.test", "Access-Control-Request-Method": "POST"}
        answer = app.ask("/gradio_api/queue/join", "OPTIONS", asked)
        assert answer.status >= 400 and not any(h.startswith("access-control-") for h in answer.headers)


def test_a_websocket_is_not_opened(app: Live) -> None:
    for origin in ("http://evil.test", app.origin):
        asked = (
            f"GET /gradio_api/queue/join HTTP/1.1\r\nHost: {app.host}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n"
        )
        asked += (
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b" 101 " not in app.raw(asked.encode()).split(b"\r\n")[0]


def test_the_page_is_not_framed_nor_calls_elsewhere(app: Live) -> None:
    for answer in (
        app.ask("/"),
        app.file(sample(app, "real.png")),
        app.ask("/nothing"),
        app.ask("/", headers={"Host": "x"}),
    ):
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
    assert "connect-src 'self'" in app.ask("/").headers["content-security-policy"]


# Requests that mean to be taken for others.


def test_a_forged_mark_or_address_makes_nobody_local(app: Live) -> None:
    use = app.defaults("_use", trainer="sd_scripts", **{"trainer-have": str(app.outside)})
    for forged in ({"X-Bracket-Here": "1"}, {"x-bracket-here": "1", "Forwarded": "for=127.0.0.1"}, FAR):
        told = app.call("_use", use, {**FAR, **forged})
        assert "is not done over the network" in told
    near = app.call("_use", use)
    assert "is not done over the network" not in near, "at the machine itself one is told what is wrong with the folder"
    assert app.ask("/", headers={"X-Forwarded-Host": "evil.test"}).status == 403
    page = app.ask("/", headers={"X-Gradio-Server": "http://evil.test"})
    assert page.status == 200 and b"evil.test" not in page.body


RAW = (
    b"GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.test\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"GET /config%00 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {host}\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n",
    b"POST /gradio_api/run/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked"
    b"\r\n\r\n0\r\n\r\nGET",
    b"TRACE / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"CONNECT evil.test:443 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"DELETE /config HTTP/1.1\r\nHost: {host}\r\n\r\n",
)


@pytest.mark.parametrize("data", RAW, ids=range(len(RAW)))
def test_malformed_requests_are_refused(app: Live, data: bytes) -> None:
    answer = app.raw(data.replace(b"{host}", app.host.encode()))
    assert answer[:9] in (b"", b"HTTP/1.1 ") and answer[9:10] in (b"", b"4")
    assert app.ask("/").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"null",
        b'{"data":NaN}',
        b'{"fn_index":1e999}',
        b"\xff\xfe",
        b'{"data":"x"}',
    ],
    ids=range(9),
)
def test_malformed_bodies_are_refused(app: Live, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Origin": app.origin}
    for path in ("queue/join", "run/predict", "cancel"):
        assert 400 <= app.ask(f"/gradio_api/{path}", "POST", headers, body).status < 500, path
    assert app.ask("/").status == 200


# Files.


def places(app: Live) -> list[str]:
    """Ways to write the address of a file that isn't the app's to show."""
    loot, session = str(app.outside / "loot.txt"), app.runs / "zorp"
    report, samples = session / "report", sample(app, "")
    up = "/".join([".."] * 30)
    return [
        *(
            "/etc/passwd",
            "etc/passwd",
            "//etc/passwd",
            "/etc/../etc/passwd",
            "file:///etc/passwd",
            "C:\\Windows\\win.ini",
        ),
        *(
            "\\\\host\\share\\x",
            "//host/share/x",
            "http://127.0.0.1:1/x",
            "https://evil.test/x",
            "/proc/self/environ",
            "",
        ),
        *("/dev/zero", "/dev/stdin", "~/.bashrc", ".", "..", "../../../etc/passwd", "/ETC/PASSWD", "app.py", "/"),
        *(
            loot,
            f"{report}/{up}{loot}",
            f"{report}/../session.yaml",
            f"{report}/../study.db",
            f"{samples}/../secret.txt",
        ),
        *(
            f"{samples}/link.png",
            f"{samples}/link.txt",
            f"{session}/confirm/linked/loot.txt",
            f"{session}/before/passwd",
        ),
        *(
            f"{session}/before/etc/passwd",
            f"{session}/session.yaml",
            f"{session}/session.yaml/",
            f"{session}/SESSION.YAML",
        ),
        *(f"{report}/\x00", f"{loot}\x00.png", f"{samples}/real.png/../../secret.txt", f"{samples}/./../secret.txt"),
        *(
            f"{session}/trials/search-000/samples/../../../../../outside/loot.txt",
            f"{samples}/.",
            f"{samples}",
            f"{report}",
        ),
        *(
            f"{app.runs}/../outside/loot.txt",
            f"{app.runs}/zorp/../../outside/loot.txt",
            "a" * 5000,
            f"{samples}/{'a' * 300}",
        ),
        *(
            "//" + loot,
            "/./" + loot,
            loot + "/.",
            f"{samples}/..\\..\\secret.txt",
            f"{samples}/%2e%2e/secret.txt",
            f"{report}/%00",
        ),
    ]


def test_no_file_but_a_sessions_own_is_read(app: Live) -> None:
    from urllib.parse import quote

    for place in places(app):
        twice = quote(quote(place, safe=""), safe="")
        dots = quote(place).replace(".", "%2e")
        for written in (quote(place), quote(place, safe=""), dots, twice):
            for route in (
                "/gradio_api/file=",
                "/gradio_api/file/",
                "/file=",
                "/gradio_api//file=",
                "/static/",
                "/assets/",
            ):
                answer = app.ask(route + written)
                assert answer.status >= 400, (route, written)
                assert LOOT.encode() not in answer.body and b"root:x:" not in answer.body
    shown = app.file(sample(app, "real.png"))
    assert (shown.status, shown.body, shown.headers["content-type"]) == (200, PICTURE, "image/png")


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x.png"])
def test_no_sample_runs_as_a_page(app: Live, name: str) -> None:
    for headers in ({}, {"Range": "bytes=0-20"}, {"Range": "bytes=0-20", "Content-Type": "text/html"}):
        answer = app.file(sample(app, name), headers)
        assert answer.status in (200, 206)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["content-security-policy"]
    ranged = app.file(sample(app, "real.png"), {"Range": "bytes=0-3", "Cookie": "a=b"})
    assert (ranged.status, ranged.body, "cookie" in ranged.headers) == (206, PICTURE[:4], False)


def test_a_report_opens_and_runs_nothing(app: Live) -> None:
    report = app.runs / "zorp" / "report" / "report.html"
    report.parent.mkdir(exist_ok=True)
    report.write_text("<h1>bracket</h1><script>1</script>")
    answer = app.file(report)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "sandbox" in policy and "allow-scripts" not in policy


def test_what_is_handed_in_is_a_download_in_a_place_of_its_own(app: Live) -> None:
    for name in ("x.html", "../../../x.html", "/etc/x.html", "x\x00.html", "..", "a" * 400 + ".html", "con", "x.svg"):
        answer = app.upload(name, b"<script>1</script>")
        if answer.status == 200:
            placed = Path(answer.json[0])
            assert placed.is_relative_to(app.runs.parent / "cache") and placed.stat().st_mode & 0o077 == 0
            got = app.file(placed)
            assert got.headers["content-disposition"].startswith("attachment")
    kept = app.upload("x.png", PICTURE)
    assert app.file(kept.json[0]).headers["content-type"] == "image/png"
    assert not (app.runs.parent / "x.html").exists()


def test_uploads_have_an_end(app: Live) -> None:
    assert app.upload("x.png", b"a" * 49_000_000).status == 413
    many = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="%d.png"\r\n\r\n%d\r\n' % (i, i)
        for i in range(600)
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Origin": app.origin}
    app.ask("/gradio_api/upload", "POST", headers, many + b"--b--\r\n")
    assert app.upload("x.png", PICTURE).status == 507
    for folder in (app.runs.parent / "cache" / "app").iterdir():
        for file in folder.rglob("*.png"):
            file.unlink()
    assert app.upload("x.png", PICTURE).status == 200


def test_a_picture_that_names_a_file_of_the_machine_is_not_read(app: Live) -> None:
    """Gradio's own notation of a picture holds a path, and an address that the server would fetch."""
    asked, calls = Catcher.started()
    with asked:
        for path in (str(app.outside / "loot.png"), "/etc/passwd", str(app.runs / "zorp" / "session.yaml")):
            for url in (None, asked.url, "file:///etc/passwd"):
                picture = {"path": path, "url": url, "meta": {"_type": "gradio.FileData"}}
                told = app.call("_begin_1", app.defaults("_begin_1", Left=picture, Right=picture))
                assert '"success":true' not in told or "Two pictures are needed" in told
                assert LOOT not in told
    assert calls == []


# Gradio's other doors.


@pytest.mark.parametrize(
    "path",
    [
        *("proxy=https://evil.hf.space/x", "proxy=http://127.0.0.1:1", "custom_component/x/client/component/x.js"),
        *("run-history/records", "deep_link?session_hash=x", "dev/reload", "openapi.json", "vibe-code", "runs"),
        *("startup-events", "profiling/traces", "stream/x/x/1/playlist.m3u8", "stream/x/x/1/playlist-file", "mcp/sse"),
        *("call/lambda", "mcp", "token"),
        *("vibe-edit", "undo-vibe-edit", "vibe-starter-queries", "process_recording", "api/predict", "file", "file/x"),
    ],
)  # fmt: skip
def test_what_the_page_does_not_need_is_not_there(app: Live, path: str) -> None:
    for method in ("GET", "POST", "HEAD", "PUT", "PATCH"):
        headers = {"Origin": app.origin, "Content-Type": "application/json"}
        assert app.ask(f"/gradio_api/{path}", method, headers, b"{}" if method == "POST" else None).status == 404
    for other in (
        "/monitoring",
        "/monitoring/summary",
        "/monitoring/x",
        "/docs",
        "/redoc",
        "/pwa_icon",
        "/openapi.json",
    ):
        assert app.ask(other).status == 404


def test_a_server_function_takes_no_path_for_a_session(app: Live) -> None:
    parts = [c for c in app.config["components"] if c["props"].get("server_fns")]
    assert len(parts) >= 4
    for part in parts:
        for fn in part["props"]["server_fns"]:
            for session in ("../outside", str(app.outside), "..", "", "zorp/../..", {"a": 1}, ["zorp"], "zorp\x00"):
                data = {"session": session, "trial": "../../..", "token": "x", "value": 1, "want": 1, "id": "../.."}
                asked = {"data": data, "component_id": part["id"], "session_hash": "x", "fn_name": fn}
                answer = app.post("/gradio_api/component_server", asked)
                assert LOOT.encode() not in answer.body
        asked = {"data": {}, "component_id": part["id"], "session_hash": "x", "fn_name": "__init__"}
        assert app.post("/gradio_api/component_server", asked).status == 404


# Somebody who is let in, but over the network.


def test_over_the_network_no_place_is_named_for_a_trainer(app: Live) -> None:
    install = app.defaults("_begin", trainer="sd_scripts", **{"trainer-folder": str(app.outside / "there")})
    assert "hoosing where a trainer is installed is not done over the network" in app.call("_begin", install, FAR)
    assert not (app.outside / "there").exists()
    assert "is not done over the network" in app.call("_forget", ["sd_scripts"], FAR)
    assert "is not done" not in app.call("_chosen", ["sd_scripts"], FAR), "looking is free"


def test_over_the_network_no_words_are_added_to_a_command(app: Live) -> None:
    mine = {"folder": str(app.runs / "zorp"), "extra-args": "--network_module evil"}
    given = app.defaults("_plan", **mine, **{"Extra arguments": "--network_module evil"})
    if "--network_module evil" not in given:
        index = next(i for i, v in enumerate(labels(app, "_plan")) if "xtra" in v or "rguments" in v)
        given[index] = "--network_module evil"
    assert "dding words to the training command is not done over the network" in app.call("_plan", given, FAR)
    assert "is not done over the network" not in app.call("_plan", given)


def test_over_the_network_no_prompt_names_a_file(app: Live) -> None:
    given = app.defaults("_plan", folder=str(app.runs / "zorp"), **{"own-prompts": "a cat --i /etc/passwd"})
    assert "aming a file in a prompt is not done over the network" in app.call("_plan", given, FAR)
    assert "is not done over the network" not in app.call("_plan", given)


def labels(app: Live, event: str) -> list[str]:
    found = {c["id"]: c["props"] for c in app.config["components"]}
    return [f"{found[n].get('elem_id')} {found[n].get('label')}" for n in app.event(event)["inputs"]]


@pytest.mark.parametrize(
    "variable", ["EVIL_API_KEY", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "PATH", "BRACKET_AUTH"]
)
def test_no_variable_goes_to_a_server_that_a_request_names(app: Live, variable: str) -> None:
    server, seen = Catcher.started()
    with server:
        changes = {"judge-kind": "openai_api", "judge": "openai_api", "judge-url": server.url, "judge-key": variable}
        values = app.defaults("_list_models", **changes)
        for i, label in enumerate(labels(app, "_list_models")):
            if "ariable" in label:
                values[i] = variable
        told = app.call("_list_models", values, FAR)
        app.call("_connect", values, FAR)
        app.call("_checked", values, FAR)
    assert LOOT not in json.dumps(seen) and LOOT not in told


def test_a_judge_at_the_machine_itself_is_asked(app: Live) -> None:
    server, seen = Catcher.started()
    with server:
        changes = {"judge": "openai_api", "judge-kind": "openai_api", "judge-url": server.url}
        values = app.defaults("_list_models", **changes)
        for i, label in enumerate(labels(app, "_list_models")):
            if "ariable" in label:
                values[i] = "EVIL_API_KEY"
        app.call("_list_models", values)
    assert any(LOOT in headers for headers in seen), "its own person chose this very variable for this very server"


def test_over_the_network_no_rubric_is_read_or_written_elsewhere(app: Live) -> None:
    loot, text = str(app.outside / "loot.yaml"), (app.outside / "loot.yaml").read_text()
    for path in (loot, "/etc/passwd", str(app.outside / "loot.txt"), f"{app.runs}/../outside/loot.yaml"):
        assert LOOT not in app.call("partial", [path], FAR) and "root:x:" not in app.call("partial", [path])
        assert LOOT not in app.call("partial_1", [f"extends: {path}\n", ""], FAR)
    shipped = app.call("partial", ["default"], FAR)
    assert "axes" in shipped
    for target in (loot, str(app.outside / "new.yaml"), "../outside/new.yaml", "../../x.yaml", "/etc/x.yaml"):
        assert "is not done over the network" in app.call("_save", ["extends: default.yaml\n", "default", target], FAR)
    assert sorted(p.name for p in app.outside.iterdir()) == ["loot.png", "loot.txt", "loot.yaml"]
    assert (app.outside / "loot.yaml").read_text() == text
    assert "Saved" in app.call("_save", ["extends: default.yaml\n", "default", "mine.yaml"], FAR)


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..", "a/b", "a\\b", "x\x00", "con", "", " "])
def test_a_session_is_made_nowhere_else(app: Live, name: str) -> None:
    before = {p for p in app.runs.parent.rglob("session.yaml")}
    app.call("_start", [name, *app.defaults("_plan", folder=str(app.outside))], FAR)
    new = {p for p in app.runs.parent.rglob("session.yaml")} - before
    assert all(p.parent.parent == app.runs for p in new)


# Somebody without the password.


def login(app: Live, password: str, headers: dict[str, str] | None = None) -> object:
    sent = {"Content-Type": "application/x-www-form-urlencoded", "Origin": app.origin, **(headers or {})}
    return app.ask("/login", "POST", sent, f"username=anna&password={password}".encode())


def test_without_the_password_there_is_nothing(locked: Live) -> None:
    for path in ("/config", "/pulse?session=zorp", "/logout", *(p for p in PATHS if p.startswith("/gradio_api"))):
        assert locked.ask(path).status == 401, path
    for path in ("queue/join", "run/predict", "cancel", "reset", "component_server", "upload"):
        assert locked.post(f"/gradio_api/{path}", {"data": [], "fn_index": 0, "session_hash": "x"}).status == 401
    assert locked.file(sample(locked, "real.png")).status == 401
    for cookie in ("access-token-x=1", "access-token-=", "access-token-unsecure-x=None", "a=b; access-token-x=\x7f"):
        assert locked.ask("/config", headers={"Cookie": cookie}).status == 401
    page = locked.ask("/")
    assert page.status == 200 and b"zorp" not in page.body and b"auth_required" in page.body
    assert b"<title>bracket</title>" in page.body, "whoever is asked for a password sees by whom"


def test_passwords_are_guessed_slowly_and_the_log_tells(locked: Live) -> None:
    guesser = {"X-Forwarded-For": "198.51.100.4"}
    statuses = [login(locked, f"guess{i}", guesser).status for i in range(40)]
    assert statuses[:3] == [400] * 3 and statuses.count(429) >= 30
    assert login(locked, "opensesame", guesser).status == 429, "a right guess waits like a wrong one"
    log = (locked.runs.parent / "app.log").read_text()
    assert "wrong password from 198.51.100.4" in log and "guess1" not in log and "opensesame" not in log


def test_who_knows_the_password_comes_in_and_out(locked: Live) -> None:
    answer = login(locked, "opensesame")
    assert answer.status == 200
    cookies = answer.headers["set-cookie"]
    assert "SameSite=Strict" in cookies and "HttpOnly" in cookies and "SameSite=none" not in cookies
    token = {"Cookie": cookies.split(";")[0]}
    config = locked.ask("/config", headers=token)
    assert config.status == 200 and b"logout" in config.body
    assert locked.file(sample(locked, "real.png"), token).status == 200
    assert locked.ask("/logout", headers=token).status == 302
    assert locked.ask("/config", headers=token).status == 401


class Catcher(http.server.ThreadingHTTPServer):
    """A server that notes the headers of whoever asks it."""

    url = ""

    @classmethod
    def started(cls) -> tuple[Catcher, list[str]]:
        seen: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(str(self.headers))
                body = b'{"data": [{"id": "eye"}]}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None: ...

        server = cls(("127.0.0.1", 0), Handler)
        server.url = f"http://127.0.0.1:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server, seen

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
