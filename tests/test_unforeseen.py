"""What nobody foresaw: one sentence for the person, the traceback in a log."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from bracket.environment import child_env, user_cache
from bracket.unforeseen import _log, guarded, kept


def test_a_fault_is_a_sentence_and_its_traceback_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def door() -> int:
        raise KeyError("knob\nof two lines")

    assert guarded(door) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "KeyError" in said and "errors.log" in said and "Traceback" not in said
    log = (user_cache() / "errors.log").read_text(encoding="utf-8")
    assert "Traceback" in log and "in door" in log


def test_a_fault_of_the_disk_says_its_remedy() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/there/file")
    assert kept(error).startswith("The disk is full (/there/file). Free some space")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_details_that_a_full_disk_has_no_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path))
    (tmp_path / "errors.log").symlink_to("/dev/full")
    _log.cache_clear()
    assert "could not be written" in kept(ValueError("x"))
    assert "Traceback" not in capsys.readouterr().err
    _log.cache_clear()


def test_codes_pass_through() -> None:
    assert guarded(lambda: 130) == 130 and guarded(lambda: None) == 0
    with pytest.raises(SystemExit):
        guarded(lambda: sys.exit(3))


@pytest.mark.slow
def test_a_reader_that_goes_away_and_a_terminal_without_letters_are_no_fault(tmp_path: Path) -> None:
    """`bracket presets | head -1`, and the same on a terminal that knows ASCII only."""
    command = [sys.executable, "-m", "bracket", "presets"]
    env = child_env() | {"PYTHONIOENCODING": "ascii", "BRACKET_CACHE": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as run:
        assert run.stdout and run.stderr
        run.stdout.close()
        assert run.stderr.read() == b""
    ended = subprocess.run(command, capture_output=True, env=env, check=True)
    assert ended.stderr == b"" and b"embedded-demo" in ended.stdout
