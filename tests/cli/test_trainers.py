"""`trainers` and `doctor` as a person types them, in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bracket.cli import doctor
from bracket.homes import UPSTREAMS, state_of
from tests.trainers.upstreams import fake_venv, git, lookalike, offline, package_index

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BRACKET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BRACKET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("BRACKET_TRAINERS", str(tmp_path / "trainers"))
    monkeypatch.setenv("BRACKET_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A checkout with all it needs."""
    lookalike(tmp_path / "mine", "sd_scripts")
    fake_venv(tmp_path / "mine" / "venv", dict.fromkeys((*UPSTREAMS["sd_scripts"].core, "part"), "1.0"))
    return tmp_path / "mine"


def trainers(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bracket", "trainers", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert "Traceback" not in ended.stderr
    return ended


@pytest.mark.slow
def test_use_status_forget(mine: Path) -> None:
    used = trainers("use", "sd_scripts", str(mine))
    assert used.returncode == 0 and str(mine / "venv") in used.stdout
    lines = trainers("status").stdout.splitlines()
    assert lines[0].startswith(f"✓ sd-scripts    {git(mine, 'rev-parse', 'HEAD')[:7]}, Python 3.")
    assert "torch 1.0 (CUDA 13.0)" in lines[0] and lines[0].endswith(str(mine))
    assert "bracket was written for 48d368f" in lines[1]
    assert lines[2].startswith("✗ musubi-tuner") and "trainers install musubi`" in lines[3]
    assert len(lines) == 6
    assert "its files stay" in trainers("forget", "sd-scripts").stdout
    assert "was not known" in trainers("forget", "sd-scripts").stdout
    assert trainers("status").stdout.startswith("✗ sd-scripts")


@pytest.mark.slow
def test_what_is_wrong_is_one_sentence(mine: Path) -> None:
    for arguments, words in [
        (("use", "musubi-tuner", str(mine)), "this is sd-scripts, not musubi-tuner"),
        (("use", "sd-script", str(mine)), "Did you mean sd-scripts?"),
        (("update", "ai-toolkit"), "AI-Toolkit is not installed"),
        (("install", "sd-scripts", str(mine)), "this folder holds something already"),
    ]:
        ended = trainers(*arguments)
        assert ended.returncode == 1 and words in ended.stderr and ended.stderr.count("\n") == 1


def test_doctor_asks_for_a_trainer_only_when_told_to(mine: Path) -> None:
    def levels(needed: list[str]) -> dict[str, str]:
        return {p.message: p.level for p in doctor.examine(needed) if "musubi" in p.message or "sd-scr" in p.message}

    assert levels([])["musubi-tuner is not installed"] == "info"
    assert levels(["musubi"])["musubi-tuner is not installed"] == "error"
    assert trainers("use", "sd-scripts", str(mine)).returncode == 0
    assert any(m.startswith("sd-scripts: ") and "Python 3." in m for m in levels([]))
    (mine / "train_network.py").unlink()
    assert levels([])["sd-scripts: this is no checkout of sd-scripts: it has no train_network.py"] == "error"


def test_doctor_imports_what_it_vouches_for(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRACKET_SD_SCRIPTS", str(mine))
    (mine / "train_network.py").write_text("# mine\n")
    assert state_of("sd_scripts").ready  # by what is installed
    broken = mine / "torch"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')\n")
    found = {p.message: p.level for p in doctor.examine() if "sd-scripts" in p.message}
    error = (
        "sd-scripts: it can't be imported: importing torch: OSError: libcudart.so.13: cannot open shared object file"
    )
    assert found[error] == "error"
    assert found["sd-scripts: it has changes of yours: train_network.py"] == "warning"
    assert not state_of("sd_scripts").ready  # `status` and the app know it from now on, until it is mended
    for name in ("torch", "accelerate", "library/train_util", "networks/lora"):
        shutil.rmtree(mine / name, ignore_errors=True)
        (mine / name).parent.mkdir(exist_ok=True)
        (mine / f"{name}.py").write_text("__version__ = '1'\nclass cuda:\n    is_available = staticmethod(bool)\n")
    assert any("it imports, with torch 1" in p.message for p in doctor.examine())
    assert state_of("sd_scripts").ready


@pytest.mark.slow
def test_install_shows_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch, package_index(tmp_path / "index"))
    lookalike(tmp_path / "source", "sd_scripts")
    at = git(tmp_path / "source", "rev-parse", "HEAD")
    ended = trainers("install", "sd-scripts", "--source", str(tmp_path / "source"), "--commit", at)
    lines = ended.stdout.splitlines()
    assert lines[:3] == ["[1/5] Code", "[2/5] Python for sd-scripts", "[3/5] torch"]
    assert lines[-1] == f"sd-scripts is ready in {tmp_path / 'trainers' / 'sd-scripts'}"
    assert ended.stderr == ""
    assert trainers("status").stdout.startswith("✓ sd-scripts")
