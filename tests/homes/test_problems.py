from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bracket import homes
from bracket.domain import Problem
from bracket.homes import UPSTREAMS, Home
from bracket.homes.look import commit_of
from bracket.homes.problems import INSTALL_RECORD
from bracket.homes.requirements import requirements
from tests.trainers.upstreams import commit, fake_venv, git, lookalike

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX scripts")
CORE = dict.fromkeys((*UPSTREAMS["sd_scripts"].core, "part"), "1.0") | {"torch": "2.13.0"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Everything as it should be."""
    at = lookalike(tmp_path / "mine", "sd_scripts")
    monkeypatch.setenv("BRACKET_SD_SCRIPTS_COMMIT", at)
    return Home("sd_scripts", tmp_path / "mine", fake_venv(tmp_path / "venv", CORE))


def only(home: Home) -> Problem:
    (problem,) = homes.home_problems(home)
    return problem


def test_a_whole_home_has_no_problems(home: Home) -> None:
    assert homes.home_problems(home) == []


def test_a_folder_that_is_gone_or_another(home: Home, tmp_path: Path) -> None:
    gone = only(Home("sd_scripts", tmp_path / "gone", home.python))
    assert (gone.level, gone.message) == ("error", "sd-scripts: there is no such folder")
    assert "trainers use sd-scripts PATH" in gone.remedy
    assert (
        only(Home("musubi", home.folder, home.python)).message == "musubi-tuner: this is sd-scripts, not musubi-tuner"
    )


def test_a_python_that_is_gone_or_dead(home: Home, tmp_path: Path) -> None:
    problem = only(Home("sd_scripts", home.folder, tmp_path / "none"))
    assert problem.message == "sd-scripts: there is no Python for it" and problem.path == tmp_path / "none"
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "uninstalled")
    assert only(Home("sd_scripts", home.folder, dangling)).message == "sd-scripts: its Python can't be started"
    (tmp_path / "text").write_text("not a program")
    assert only(Home("sd_scripts", home.folder, tmp_path / "text")).message.endswith("its Python can't be started")


def test_missing_packages_are_named_with_the_command_that_installs_them(home: Home, tmp_path: Path) -> None:
    some = {name: v for name, v in CORE.items() if name not in ("toml", "voluptuous", "part")}
    python = fake_venv(tmp_path / "it's some", some)
    commit(home.folder, {"requirements.txt": "toml\nopencv-python==4.10\nlion_pytorch  # optional\n"})
    needed, wanted, _commit = homes.home_problems(Home("sd_scripts", home.folder, python))
    assert (needed.level, needed.message) == ("error", "sd-scripts: toml and voluptuous are not installed")
    if os.name != "nt":
        quoted = str(python).replace("'", "'\"'\"'")
        assert needed.remedy == f"Run `'{quoted}' -m pip install toml voluptuous`."
    assert (wanted.level, wanted.message) == (
        "warning",
        "sd-scripts: opencv-python and lion-pytorch are not installed",
    )
    headless = fake_venv(tmp_path / "headless", CORE | {"opencv-python-headless": "4", "lion-pytorch": "1"})
    assert [p.level for p in homes.home_problems(Home("sd_scripts", home.folder, headless))] == ["info"]


def test_many_missing_packages_are_counted(home: Home, tmp_path: Path) -> None:
    bare = fake_venv(tmp_path / "bare", {})
    problem = homes.home_problems(Home("sd_scripts", home.folder, bare))[0]
    assert problem.message == "sd-scripts: torch, torchvision and 10 more are not installed"
    assert "-m pip install -r" in problem.remedy and "requirements.txt" in problem.remedy


@posix
def test_torch_without_cuda_is_only_wrong_beside_an_nvidia_driver(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = next((tmp_path / "venv").glob("lib/*/site-packages/torch/version.py"))
    version.write_text("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert homes.home_problems(home) == []
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    problem = only(home)
    assert problem.level == "error" and "torch 2.13.0+cpu was built without CUDA" in problem.message


@posix
def test_a_python_the_trainer_is_not_made_for(home: Home, tmp_path: Path) -> None:
    site = next((tmp_path / "venv").glob("lib/*/site-packages"))
    script = tmp_path / "python3.13"
    script.write_text(f"#!/bin/sh\necho '[[3, 13, 1], [\"{site}\"], false]'\n")
    script.chmod(0o755)
    problem = only(Home("sd_scripts", home.folder, script))
    assert problem.level == "warning"
    assert "made for Python 3.10 to 3.12, and this is 3.13.1" in problem.message


def test_another_commit_is_told_but_no_fault(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRACKET_SD_SCRIPTS_COMMIT")
    problem = only(home)
    at = git(home.folder, "rev-parse", "HEAD")[:7]
    assert problem.level == "info"
    assert problem.message == f"sd-scripts: it stands at {at}, and bracket was written for 48d368f"


def test_an_interrupted_install(home: Home) -> None:
    for text, level in (('{"finished": false}', ["error"]), ("{", ["error"]), ('{"finished": true}', [])):
        (home.folder / INSTALL_RECORD).write_text(text)
        assert [p.level for p in homes.home_problems(home)] == level


def test_commits_are_read_in_every_form_git_keeps_them(tmp_path: Path) -> None:
    at, repository = lookalike(tmp_path / "a", "musubi"), tmp_path / "a"
    assert commit_of(repository) == at
    git(repository, "pack-refs", "--all")
    assert not list((repository / ".git" / "refs" / "heads").iterdir())
    assert commit_of(repository) == at
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "b"))
    side = commit(tmp_path / "b", {"x": ""})
    assert side != at and commit_of(tmp_path / "b") == side
    git(tmp_path / "b", "checkout", "-q", "--detach", at)
    assert commit_of(tmp_path / "b") == at
    assert commit_of(tmp_path) is None


def test_requirements_of_all_three_kinds(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(
        "-r base.txt\ndiffusers[torch]==0.32.1\n# xformers\nhf_transfer\n-e .\n./part\n"
        "triton; sys_platform == 'linux'\ngit+https://example.org/a/Some.Thing.git@main\n"
    )
    (tmp_path / "base.txt").write_text("Pillow>=10 # pictures\n")
    found = requirements(Home("ai_toolkit", tmp_path, tmp_path))
    assert found == ["pillow", "diffusers", "hf-transfer", "some-thing"]
    (tmp_path / "requirements.txt").unlink()
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["av==14.0.1", "huggingface-hub"]\n')
    assert requirements(Home("musubi", tmp_path, tmp_path)) == ["av", "huggingface-hub"]
