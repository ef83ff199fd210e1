from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bracket import environment


def test_folders_default_to_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRACKET_RUNS", raising=False)
    monkeypatch.setenv("BRACKET_PRESETS", " ")
    root = environment.project_root()
    assert (root / "bracket" / "domain.py").is_file()
    assert environment.runs_folder() == root / "runs"
    assert environment.presets_folder() == root / "presets"


def test_folders_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRACKET_RUNS", str(tmp_path / "my runs"))
    monkeypatch.setenv("BRACKET_CACHE", "~/somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert environment.runs_folder() == tmp_path / "my runs"
    assert environment.user_cache() == tmp_path / "somewhere"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRACKET_RUNS", "here")
    assert environment.runs_folder() == tmp_path / "here"


@pytest.mark.parametrize(
    ("platform", "variable", "value", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "", ".cache/bracket"),
        ("linux", "XDG_CACHE_HOME", "{home}/xdg", "xdg/bracket"),
        ("darwin", "XDG_CACHE_HOME", "", "Library/Caches/bracket"),
        ("win32", "LOCALAPPDATA", "{home}/Local", "Local/bracket"),
    ],
)
def test_cache_is_where_the_system_keeps_such_things(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, variable: str, value: str, expected: str
) -> None:
    monkeypatch.delenv("BRACKET_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv(variable, value.format(home=tmp_path))
    assert environment.user_cache() == tmp_path / expected


def test_children_find_the_package_from_any_folder(tmp_path: Path) -> None:
    code = "import bracket.errors, os; print(os.environ['OMP_NUM_THREADS'], os.environ['OMP_WAIT_POLICY'])"
    argv = [environment.python_executable(), "-c", code]
    env = environment.child_env(threads=1)
    assert subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True).stdout.split() == [
        "1",
        "PASSIVE",
    ]


def test_a_present_python_path_stays_behind_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "theirs")
    assert environment.child_env()["PYTHONPATH"] == os.pathsep.join([str(environment.project_root()), "theirs"])


def test_foreign_trainers_do_not_see_our_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    env = environment.child_env(own=False)
    assert "PYTHONPATH" not in env
    assert "OMP_NUM_THREADS" not in env


def test_settings_and_trainers_have_folders_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BRACKET_CONFIG", "BRACKET_TRAINERS", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    assert environment.config_folder() == tmp_path / ".config" / "bracket"
    assert environment.trainers_folder() == tmp_path / ".local" / "share" / "bracket" / "trainers"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert environment.config_folder() == tmp_path / "Library" / "Application Support" / "bracket"
    monkeypatch.setenv("BRACKET_TRAINERS", str(tmp_path / "big disk"))
    assert environment.trainers_folder() == tmp_path / "big disk"


def test_what_the_environment_says_of_a_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRACKET_AI_TOOLKIT", " /a b ")
    monkeypatch.setenv("BRACKET_AI_TOOLKIT_PYTHON", "/c")
    monkeypatch.delenv("BRACKET_MUSUBI_SOURCE", raising=False)
    assert environment.trainer_variable("ai_toolkit") == "/a b"
    assert environment.trainer_variable("ai_toolkit", "PYTHON") == "/c"
    assert environment.trainer_variable("musubi", "SOURCE") == ""
