"""One damaged file costs that file's part: whoever reads a session gets values or a sentence, never a traceback."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bracket.cli.text import session_lines, status_lines
from bracket.errors import BracketError
from bracket.report.claims import certificate
from bracket.session import job, view
from bracket.session.asked.settings import load
from bracket.session.planning import plan
from bracket.session.running import launch, run
from bracket.session.running.run import write_session_report
from bracket.ui.page import Page
from tests.session import scripted

pytestmark = pytest.mark.slow

CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "garbage": lambda _: b"\xff\xfe\x00\x01 \x80" * 50,
    "half": lambda data: data[: len(data) // 2],
    "list": lambda _: b"[1, 2]\n",
    "object": lambda _: b'{"a": 1}\n',
    "string": lambda _: b'"x"\n',
    "null": lambda _: b"null\n",
    "numbers": lambda _: b"NaN\n1e999\n-1\n",
    "deep": lambda _: b"[" * 50_000,
    "bad line": lambda data: data + b'{"path": 1}\n{"x"\n\xff\n3\n',
}
PLACES = ("missing", "folder", "pipe", "unreadable")
KINDS = [
    "session.yaml", "study.db", "dataset.json", "state.json", "seconds.json", "remarks.json", "vram.json", "lock",
    "votes.jsonl", "pairwise.jsonl", "process.log", "session.log", "before/index.jsonl", "confirm/plan.json",
    "confirm/winner/judgements.jsonl", "confirm/winner/index.jsonl", "report/verdict.txt", "report/certificate.json",
    "report/judge.json", "report/mattered.json", "report/report.html", "winner/argv.json",
    "trials/search-000/trial.json", "trials/search-000/exit.json", "trials/search-000/trace.json",
    "trials/search-000/vram.json", "trials/search-000/judgements.jsonl", "trials/search-000/samples/index.jsonl",
    "trials/search-000/logs/trainer.log", "trials/search-000/checkpoints/final/pytorch_lora_weights.safetensors",
    "trials/confirmation-000/judgements.jsonl",
]  # fmt: skip
ITSELF = ("session.yaml",)
"""Without these there is no session to show: a sentence."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Iterator[Path]:
    """A finished session, its trainer and its judge the scripted ones as long as these tests last."""
    with pytest.MonkeyPatch.context() as patched:
        for module, name in ((job, "make_trainer"), (run, "session_judge"), (plan, "judge_problems")):
            patched.setattr(module, name, getattr(module, name))
        patched.setenv("BRACKET_CACHE", str(tmp_path_factory.mktemp("cache")))
        asked = scripted.settings_for(dataset, configs=3, pairs=5, seeds=1)
        folder = launch.create(asked, tmp_path_factory.mktemp("runs") / "s")
        assert scripted.play(folder) is not None
        (folder / "trials" / "search-000" / "vram.json").write_text('{"gb": 8}')
        yield folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "runs" / "s")
    return tmp_path / "runs" / "s"


def damaged(path: Path) -> Iterator[str]:
    """Everything that may be wrong with a file, one after another; it is as it was afterwards."""
    before = path.read_bytes() if path.is_file() else b"{}\n"
    for name, content in CONTENTS.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content(before))
        yield name
    for name in PLACES:
        path.unlink()
        if name == "folder":
            path.mkdir()
        elif name == "pipe":
            if not hasattr(os, "mkfifo"):
                continue
            os.mkfifo(path)
        elif name == "unreadable":
            path.write_bytes(before)
            path.chmod(0)
        yield name
        if path.is_dir():
            path.rmdir()
        path.touch() if name in ("missing", "folder") else None
    path.unlink()
    path.write_bytes(before)


def looked_at(folder: Path) -> None:
    load(folder, to_read=True)
    status_lines(view.read(folder))
    session_lines(view.sessions(folder.parent))


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_looks_gets_values_or_a_sentence(folder: Path, kind: str) -> None:
    page = Page(folder.parent)
    for number, damage in enumerate(damaged(folder / kind)):
        try:
            looked_at(folder)
        except BracketError as error:
            assert kind in ITSELF or kind == "confirm/plan.json", f"{damage}: {error}"
        try:
            certificate.verify(folder / "report" / "certificate.json")
        except BracketError:
            assert kind == "report/certificate.json", damage
        if number % 3 == 1 or damage in ("deep", "folder"):
            page._poll("s", None, {})  # no error at all: the rest of the page works
    looked_at(folder)


PARTS = [
    "seconds.json", "remarks.json", "vram.json", "pairwise.jsonl", "confirm/winner/judgements.jsonl",
    "trials/search-000/judgements.jsonl", "trials/search-000/samples/index.jsonl", "trials/search-000/exit.json",
    "trials/search-000/vram.json", "winner/argv.json", "report/verdict.txt", "study.db", "votes.jsonl",
]  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("damage", ["garbage", "list", "bad line", "folder"])
def test_the_report_and_a_resume_go_without_it_or_say_so(folder: Path, kind: str, damage: str) -> None:
    path = folder / kind
    before = path.read_bytes() if path.is_file() else b""
    if damage == "folder":
        path.unlink(missing_ok=True)
        path.mkdir()
    else:
        path.write_bytes(CONTENTS[damage](before))
    try:
        assert write_session_report(folder).is_file()
        assert scripted.play(folder) is not None
    except BracketError as error:
        assert kind in ("study.db", "votes.jsonl") or damage == "folder", error


def test_a_locked_ledger_costs_no_page_its_patience(folder: Path) -> None:
    page = Page(folder.parent)
    page._poll("s", None, {})
    shown = len(view.read(folder).trials)
    (folder / "study.db").touch()  # something is new
    other = sqlite3.connect(folder / "study.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    for _ in range(4):
        page._poll("s", None, {})
    seen = view.read(folder)
    assert time.monotonic() - began < 15
    assert "in use by another program" in seen.message and len(seen.trials) == shown
    other.execute("ROLLBACK")
    other.close()
    view._ledgers[folder].again = 0.0
    assert "in use" not in view.read(folder).message


def test_a_full_disk_is_said_to_be_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bracket.files.shutil", SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=0)))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE  # type: ignore[misc]
    from bracket.files import database_trouble

    assert "The disk is full" in str(database_trouble(error, folder / "study.db", "ledger", ""))
