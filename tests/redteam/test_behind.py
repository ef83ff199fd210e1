"""Behind proxies of both directions: one that shows the app under a path, and those that the environment names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redteam.live import PICTURE, Live, live

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DEAD = "http://127.0.0.1:9"
PREFIX = "/x/bracket"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    proxies = {"HTTP_PROXY": DEAD, "https_proxy": DEAD, "ALL_PROXY": "socks5://127.0.0.1:9", "FTP_PROXY": "x"}
    hosted = {"RUNPOD_POD_ID": "abc123", "COLAB_RELEASE_TAG": "release-1"}
    with live(
        tmp_path_factory.mktemp("behind"), "--root-path", PREFIX, "--allow-host", "*.shown.test", env=proxies | hosted
    ) as found:
        yield found


def test_the_page_knows_the_path_it_is_shown_under(app: Live) -> None:
    for path in ("/", f"{PREFIX}/", PREFIX):
        page = app.ask(path, headers={"Host": "a.shown.test", "X-Forwarded-Proto": "https"})
        assert page.status == 200 and b"https://a.shown.test/x/bracket" in page.body
    for path in ("/theme.css", f"{PREFIX}/theme.css", f"{PREFIX}/static/img/logo.svg", f"{PREFIX}/config"):
        assert app.ask(path, headers={"Host": "a.shown.test"}).status == 200, path
    picture = app.runs / "zorp" / "trials" / "search-000" / "samples" / "real.png"
    assert app.ask(f"{PREFIX}/gradio_api/file={picture}", headers={"Host": "a.shown.test"}).body == PICTURE
    assert app.ask(f"{PREFIX}/gradio_api/file=/etc/passwd", headers={"Host": "a.shown.test"}).status == 403
    assert app.ask(f"{PREFIX}x/config", headers={"Host": "a.shown.test"}).status == 404


@pytest.mark.parametrize(
    "shown", ["a.shown.test", "abc123-{port}.proxy.runpod.net", "x-7860.europe-west4-a.prod.colab.dev"]
)
def test_the_proxys_own_page_works(app: Live, shown: str) -> None:
    host = shown.format(port=app.port)
    whole = {"Host": host, "Origin": f"https://{host}", "Sec-Fetch-Site": "same-origin"}
    rewritten = {"X-Forwarded-Host": host, "X-Forwarded-Proto": "https", "Origin": f"https://{host}"}
    for headers in (whole, rewritten, {"Origin": f"https://{host}"}):
        assert '"success":true' in app.call("lambda", [], headers)
        used = app.call("_use", ["sd_scripts", str(app.outside), ""], headers)
        assert "is not done over the network" in used
    near = app.call("_use", ["sd_scripts", str(app.outside), ""])
    assert "is not done over the network" in near, "what comes through the proxy may look like this"


@pytest.mark.parametrize("host", ["shown.test.evil.test", "evilshown.test", "x-1.proxy.runpod.net", "evil.test"])
def test_hosts_beside_it_are_refused(app: Live, host: str) -> None:
    assert app.ask("/", headers={"Host": host}).status == 403
    assert app.ask("/", headers={"X-Forwarded-Host": host}).status == 403
    assert app.post("/gradio_api/cancel", {}, {"Origin": f"https://{host}"}).status == 403


def test_a_named_prefix_is_followed_only_where_it_is_one(app: Live) -> None:
    for prefix in ("//evil.test", "https://evil.test", "/a b", '/"><script>', "/a/../b"):
        page = app.ask("/", headers={"X-Forwarded-Prefix": prefix})
        assert page.status == 200 and b"evil.test" not in page.body and b'"><script>' not in page.body[:2000]


def test_a_proxy_that_is_none_is_told_and_left_out(tmp_path: Path) -> None:
    with live(tmp_path, env={"HTTP_PROXY": "foo://x:1", "ALL_PROXY": "socks4://x:1", "https_proxy": DEAD}) as app:
        assert app.ask("/").status == 200
        log = (tmp_path / "app.log").read_text()
        assert "bracket: " in log and "HTTP_PROXY" in log and "is no address of a proxy" in log
