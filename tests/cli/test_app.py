"""The command line as a person types it, in a process of its own where it matters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bracket.demo.dataset import write_demo_dataset
from bracket.session.asked import settings
from bracket.session.running import launch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRACKET_RUNS", str(tmp_path / "my runs"))
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BRACKET_CONFIG", str(tmp_path / "config"))
    return tmp_path / "my runs"


def _bracket(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bracket", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_without_sessions_status_says_what_to_do(runs: Path) -> None:
    assert "No session yet" in _bracket("status").stdout


@pytest.mark.parametrize("verb", ["resume", "stop", "status", "report"])
def test_a_session_that_is_not_there_is_one_sentence(runs: Path, verb: str) -> None:
    ended = _bracket(verb, "nothing")
    assert ended.returncode == 1
    assert "there is no session here" in ended.stderr and "Traceback" not in ended.stderr


def test_a_new_session_needs_a_preset_and_pictures(runs: Path) -> None:
    ended = _bracket("run", "mine", "--preset", "embedded-demo")
    assert ended.returncode == 1 and "--data" in ended.stderr


def test_a_missing_folder_is_found_before_anything_runs(runs: Path) -> None:
    ended = _bracket("run", "mine", "--preset", "embedded-demo", "--data", str(runs / "gone"), "--quiet")
    assert ended.returncode == 1
    assert str(runs / "gone") in ended.stderr and "Traceback" not in ended.stderr
    assert not (runs / "mine" / "trials").exists()


def test_changed_settings_are_refused_with_the_difference(runs: Path, tmp_path: Path) -> None:
    data = write_demo_dataset(tmp_path / "data")
    dataset = settings.DatasetSettings(folder=str(data), trigger_word="zorp")
    launch.create(settings.from_preset(settings.find_preset("embedded-demo"), dataset), runs / "mine")
    (runs / "mine" / "trials").mkdir()
    ended = _bracket("run", "mine", "--configs", "30", "--lr-max", "0.001")
    assert ended.returncode == 1
    assert "search.configs: 20 → 30" in ended.stderr
    assert "bounds.learning_rate" in ended.stderr


def test_presets_are_listed_with_what_they_need(runs: Path) -> None:
    text = _bracket("presets").stdout
    assert "embedded-demo" in text and "flux2-klein-4b-lora" in text
    details = _bracket("presets", "flux2-klein-4b-lora").stdout
    assert "huggingface.co" in details and "learning_rate = 0.0001" in details


def test_doctor_finds_this_machine_ready(runs: Path) -> None:
    ended = _bracket("doctor")
    assert ended.returncode == 0, ended.stdout
    assert "Ready" in ended.stdout
    assert "presets have their weights" in ended.stdout and len(ended.stdout.splitlines()) < 40


def test_verify_names_a_missing_certificate(runs: Path) -> None:
    ended = _bracket("verify", "nothing")
    assert ended.returncode == 1 and "certificate.json" in ended.stderr


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys, bracket.cli.app; assert not {'torch', 'gradio', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
