"""A plan's time stamp, by a tiny authority that openssl makes here."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bracket.cli.app import app
from bracket.files import read_json, write_json
from bracket.report.claims.evidence import hash_of
from bracket.session.after import verified
from bracket.session.duel import stamp
from bracket.session.duel.plan import PLAN
from bracket.session.running import launch
from bracket.session.running.run import write_session_report
from tests.session import scripted

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")

_CONFIG = """
[t]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
tsa_name = yes
"""


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@dataclass
class Authority:
    """What it was asked, and what it answers instead of a token where that is set."""

    folder: Path
    url: str = ""
    asked: int = 0
    instead: tuple[int, bytes] | None = None

    def reply(self, request: bytes) -> tuple[int, bytes]:
        self.asked += 1
        if self.instead is not None:
            return self.instead
        (self.folder / "q").write_bytes(request)
        made = ("-config", "tsa.cnf", "-section", "t", "-queryfile", "q", "-signer", "t.pem", "-inkey", "t.key")
        _openssl(self.folder, "ts", "-reply", *made, "-out", "r")
        return 200, (self.folder / "r").read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    folder = tmp_path_factory.mktemp("authority")
    (folder / "tsa.cnf").write_text(_CONFIG)
    (folder / "ext").write_text("extendedKeyUsage=critical,timeStamping\n")
    key = ("-newkey", "rsa:2048", "-nodes")
    _openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Root")
    _openssl(folder, "req", *key, "-keyout", "t.key", "-out", "t.csr", "-subj", "/CN=Tiny Authority")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext", "-out", "t.pem")
    _openssl(folder, "x509", "-req", "-in", "t.csr", *signed)
    authority = Authority(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = authority.reply(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    authority.url = f"http://127.0.0.1:{server.server_port}/tsr"
    yield authority
    server.shutdown()
    server.server_close()


@pytest.fixture
def authority(made: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("BRACKET_TIMESTAMP_URL", made.url)
    monkeypatch.setenv("BRACKET_TIMESTAMP_CA", str(made.folder / "ca.pem"))
    made.asked, made.instead = 0, None
    return made


@pytest.fixture
def planned(tmp_path: Path) -> Path:
    write_json(tmp_path / PLAN, {"alpha": 0.04, "prompts": ["a star"]})
    return tmp_path


def _digest(folder: Path) -> str:
    return hash_of(read_json(folder / PLAN))


def test_a_plan_is_signed_and_who_and_when_is_said(planned: Path, authority: Authority) -> None:
    assert stamp.check(planned, _digest(planned)) == stamp.Stamped()
    assert stamp.stamp(planned) == ""
    found = stamp.check(planned, _digest(planned))
    assert found.holds and found.words.startswith("CN=Tiny Authority signed at ") and "GMT" in found.words


def test_another_plan_is_not_the_one_that_was_signed(planned: Path, authority: Authority) -> None:
    stamp.stamp(planned)
    write_json(planned / PLAN, {"alpha": 0.05, "prompts": ["a star"]})
    found = stamp.check(planned, _digest(planned))
    assert not found.holds and "is no time stamp of this plan" in found.words


def test_an_authority_that_is_not_known_is_not_believed(
    planned: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp.stamp(planned)
    monkeypatch.delenv("BRACKET_TIMESTAMP_CA")
    found = stamp.check(planned, _digest(planned))
    assert found.holds and "by its own word: this machine does not trust the signature" in found.words


def test_a_token_that_was_changed_does_not_hold(planned: Path, authority: Authority) -> None:
    stamp.stamp(planned)
    token = planned / stamp.TOKEN
    data = bytearray(token.read_bytes())
    data[-1] ^= 1  # within the signature
    token.write_bytes(data)
    found = stamp.check(planned, _digest(planned))
    assert not found.holds and "does not hold" in found.words
    token.write_bytes(b"nothing of the kind")
    assert not stamp.check(planned, _digest(planned)).holds


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ((503, b"busy"), "503"),
        ((302, b""), "302"),
        ((200, b"<html>"), "is no time stamp of this plan"),
        ((200, b"x" * (1 << 21)), "too long"),
    ],
)
def test_an_authority_that_fails_leaves_a_warning_and_no_token(
    planned: Path, authority: Authority, instead: tuple[int, bytes], said: str
) -> None:
    authority.instead = instead
    assert said in stamp.stamp(planned)
    assert not (planned / stamp.TOKEN).exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "file:///etc/passwd", "no address", "http://[", "ftp://a/b"])
def test_no_network_or_no_address_is_a_warning(planned: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("BRACKET_TIMESTAMP_URL", url)
    assert f"{url} gave no token" in stamp.stamp(planned)


def test_without_openssl_it_is_said_before_the_start(planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(stamp.problems(True)) == [] and stamp.missing(planned, False) == ""
    assert "no time stamp" in stamp.missing(planned, True)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert [p.level for p in stamp.problems(True)] == ["warning"] and list(stamp.problems(False)) == []
    assert stamp.stamp(planned) == "there is no openssl here"
    (planned / stamp.TOKEN).write_bytes(b"")
    assert "no openssl here to check it" in stamp.check(planned, "").words


@pytest.mark.slow
def test_a_session_has_its_plan_signed_and_verify_says_so(
    tmp_path: Path, dataset: Path, own_trainer: None, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "session_judge", lambda *_: scripted.ScriptedJudge())
    asked = scripted.settings_for(dataset, configs=2, seeds=1, pairs=0)
    search = asked.search.model_copy(update={"strategy": "screen", "rungs": 1})
    stamped = asked.confirmation.model_copy(update={"stamp": True})
    folder = launch.create(asked.model_copy(update={"search": search, "confirmation": stamped}), tmp_path / "s")
    summary = scripted.play(folder)
    assert summary is not None and summary.warnings == () and authority.asked == 1
    certificate = folder / "report" / "certificate.json"
    assert verified.verify(certificate, "pictures") == verified.Held("pictures")
    said = CliRunner().invoke(app, ["verify", str(folder)]).output
    assert "CN=Tiny Authority signed at" in said
    (folder / stamp.TOKEN).write_bytes(b"")
    held = verified.verify(certificate, "pictures")
    assert held.level == "numbers" and "is no time stamp of this plan" in held.mismatches[0]
    (folder / stamp.TOKEN).unlink()
    write_session_report(folder)
    assert "has no time stamp" in (folder / "report" / "report.md").read_text()
