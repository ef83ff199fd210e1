"""Real clones, venvs and interruptions; only the trainers and the packages are stand-ins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bracket import homes
from bracket.environment import child_env
from bracket.errors import TrainerError
from bracket.homes.look import commit_of
from bracket.homes.problems import INSTALL_RECORD, install_finished
from bracket.trainers.install import Progress, Wish, install, update
from bracket.trainers.install.checkout import move
from bracket.trainers.install.commands import Commands
from tests.trainers.upstreams import commit, fake_venv, git, lookalike, offline, package_index, wheel

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and scripts")
RUN = """
import sys
from pathlib import Path
from bracket.trainers.install import Wish, install
for _ in install(Wish("sd_scripts", Path(sys.argv[1]), source=sys.argv[2], commit=sys.argv[3])): pass
"""


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    return package_index(tmp_path_factory.mktemp("index"))


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: str) -> None:
    """Settings of its own, and pip that knows only the index."""
    offline(monkeypatch, index)
    monkeypatch.setenv("BRACKET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("BRACKET_TRAINERS", str(tmp_path / "my trainers"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    lookalike(tmp_path / "source", "sd_scripts")
    return tmp_path / "source"


def wish(source: Path, **more: object) -> Wish:
    return Wish("sd_scripts", source=str(source), commit=git(source, "rev-parse", "HEAD"), **more)  # type: ignore[arg-type]


def seen(progress: list[Progress]) -> dict[str, str]:
    """The last line of every step."""
    return {p.title: p.line for p in progress}


@pytest.mark.slow
def test_install_then_update_then_again(source: Path, tmp_path: Path) -> None:
    steps = list(install(wish(source)))
    folder = tmp_path / "my trainers" / "sd-scripts"
    assert list(seen(steps)) == ["Code", "Python for sd-scripts", "torch", "Packages", "Check"]
    assert {p.total for p in steps} == {5}
    home = homes.find_home("sd_scripts")
    assert home.folder == folder and home.python.is_relative_to(folder / "venv")
    assert [p.level for p in homes.home_problems(home)] == ["info"]  # another commit than the pinned one
    assert git(folder, "status", "--porcelain") == ""  # neither venv nor record counts as a change
    log = (folder.parent / ".sd-scripts-install" / "install.log").read_text()
    assert f"--no-checkout -- {source}" in log and "Successfully installed" in log

    again = seen(list(install(wish(source))))
    assert again["torch"] == again["Packages"] == again["Python for sd-scripts"] == "already there"

    new = commit(source, {"train_network.py": "# newer\n", "requirements.txt": "tensorboard\n"})
    steps = list(update(wish(source)))
    assert commit_of(folder) == new and seen(steps)["torch"] == "already there"
    assert seen(steps)["Packages"] != "already there"

    (folder / "train_network.py").write_text("# mine\n")
    assert seen(list(update(wish(source))))["Check"].endswith("; your changes stay as they are: train_network.py")
    commit(source, {"train_network.py": "# newest\n"})
    with pytest.raises(TrainerError, match=r"changes of yours: train_network.py .*Commit, stash or undo"):
        list(update(wish(source)))
    assert commit_of(folder) == new and (folder / "train_network.py").read_text() == "# mine\n"


@posix
@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, folder = tmp_path / "slow", tmp_path / "où it's"
    slow.touch()
    monkeypatch.setenv("SLOW", str(slow))
    command = [sys.executable, "-c", RUN, str(folder), str(source), git(source, "rev-parse", "HEAD")]
    process = subprocess.Popen(command, env=child_env(), cwd=tmp_path)
    while not (tmp_path / "slow.seen").exists():
        assert process.poll() is None
        time.sleep(0.02)
    with pytest.raises(TrainerError, match=f"process {process.pid} is already installing this"):
        list(install(wish(source, folder=folder)))
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert install_finished(folder) is False
    problem = homes.home_problems(homes.find_home("sd_scripts"))[0]
    assert problem.message == "sd-scripts: its install was not finished" and "install sd-scripts" in problem.remedy

    # a package of which pip had laid down only half
    site = next(folder.glob("venv/lib/python*/site-packages"))
    (site / "toml-1.0.dist-info").mkdir(exist_ok=True)
    (site / "toml-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toml\nVersion: 1.0\n")
    slow.unlink()
    done = seen(list(install(wish(source, folder=folder))))
    assert done["torch"] == done["Python for sd-scripts"] == "already there"
    assert (site / "toml" / "__init__.py").is_file() and install_finished(folder)


@posix
@pytest.mark.slow
def test_what_was_asked_for_is_asked_for_again_when_it_goes_on(source: Path, tmp_path: Path) -> None:
    folder, old = tmp_path / "it", git(source, "rev-parse", "HEAD")
    commit(source, {"train_network.py": "# newer\n"})
    pythons = [tmp_path / "bin" / name for name in ("mine", "other")]
    for python in pythons:
        python.parent.mkdir(exist_ok=True)
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
    mine, other = map(str, pythons)
    asked = Wish("sd_scripts", folder, str(source), old, torch="torch torchvision", python=Path(mine))
    bare = Wish("sd_scripts", folder, str(source), old)

    def broken_off_at(title: str, what: Wish) -> None:
        steps = install(what)
        assert any(step.title == title for step in steps)
        steps.close()  # type: ignore[attr-defined]

    def record() -> dict[str, str]:
        return dict(json.loads((folder / INSTALL_RECORD).read_text())["steps"])

    broken_off_at("Code", asked)
    broken_off_at("torch", bare)
    assert record()["venv"] == mine
    list(install(asked))
    list(update(Wish("sd_scripts", source=str(source), commit=old)))
    assert record()["venv"] == mine and record()["torch"].startswith(
        "torch torchvision "
    )  # not the torch of its own choice
    broken_off_at("torch", replace(bare, python=Path(other)))
    assert record()["venv"] == other


@posix
def test_a_clone_that_is_stopped_leaves_nothing_half(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subprocess.check_output(["which", "git"], text=True).strip()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(
        f'#!/bin/sh\n[ "$1" = clone ] && echo begun && exec sleep 60\nexec {real} "$@"\n'
    )
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    stop, folder = threading.Event(), tmp_path / "trainer"
    steps = install(wish(source, folder=folder), stop)
    assert next(step.line for step in steps if step.line) == "begun"  # on a slow machine the heart beats before
    stop.set()
    with pytest.raises(TrainerError, match="install was stopped"):
        list(steps)
    assert not folder.exists()
    assert homes.known_home("sd_scripts") is None
    assert [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE] == []


def refused(match: str, asked: Wish) -> None:
    with pytest.raises(TrainerError, match=match):
        list(install(asked))


def test_what_can_not_be_installed_is_one_sentence(source: Path, tmp_path: Path) -> None:
    lookalike(tmp_path / "other", "musubi")
    refused("this is musubi-tuner, not sd-scripts", wish(tmp_path / "other", folder=tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    refused("no such repository", Wish("sd_scripts", source="--upload-pack=x"))
    refused("can't be a commit", Wish("sd_scripts", source=str(source), commit="--force"))
    refused("can't be torch", wish(source, torch="--target x"))
    refused("checking out 0123456 failed: .*0123456", Wish("sd_scripts", source=str(source), commit="0123456"))
    refused("this folder holds something already .*trainers use sd-scripts", wish(source, folder=source))
    refused("this is musubi-tuner, not sd-scripts", wish(source, folder=tmp_path / "other"))
    (tmp_path / "file").touch()
    refused("a file, not a folder", wish(source, folder=tmp_path / "file"))
    refused(r"takes up to 1000000 GB, and the disk has .* Free some space", wish(source, room=10**15))
    refused("cloning .* failed: .*does not appear|cloning .* failed: ", Wish("sd_scripts", source=str(tmp_path)))
    assert not (tmp_path / "my trainers" / "sd-scripts").exists()


def test_a_mirror_that_lacks_a_files_contents(source: Path, tmp_path: Path) -> None:
    blob = git(source, "rev-parse", "HEAD:library/__init__.py")
    (source / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    refused("not whole: it lacks the contents of library/__init__.py", wish(source))
    assert not (tmp_path / "my trainers" / "sd-scripts").exists()


@pytest.mark.slow
def test_builds_of_torch_that_do_not_go_together(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong").mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wrong"))
    wheel(tmp_path / "wrong", "torchvision", "9.0", {"torchvision/__init__.py": "raise RuntimeError('no nms')\n"})
    refused("importing torch and torchvision failed: RuntimeError: no nms", wish(source))
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert seen(list(install(wish(source))))["Check"].startswith("sd-scripts is ready")


@posix
def test_a_python_that_does_not_fit(source: Path, tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho '[[3, 9, 18], [], false]'\n")
    script.chmod(0o755)
    refused("sd-scripts needs Python 3.10 to 3.12, and this is 3.9.18", wish(source, python=script))
    refused("can't be started", wish(source, python=tmp_path / "none"))


@posix
def test_without_git(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = wish(source)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused("git is not installed", asked)


@pytest.mark.slow
def test_a_failing_package_is_named_and_the_install_can_be_tried_again(source: Path, tmp_path: Path) -> None:
    lists = (source / "requirements.txt").read_text()
    commit(source, {"requirements.txt": "there-is-no-such-package\n"})
    refused("installing packages failed: .*there-is-no-such-package", wish(source))
    folder = tmp_path / "my trainers" / "sd-scripts"
    assert json.loads((folder / INSTALL_RECORD).read_text())["doing"] == "packages"
    commit(source, {"requirements.txt": lists})
    assert seen(list(install(wish(source))))["torch"] == "already there"


def test_a_checkout_of_the_users_own_keeps_its_python(source: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    git(tmp_path, "clone", "-q", str(source), str(mine))
    fake_venv(mine / "venv", {})
    homes.use("sd_scripts", mine)
    (mine / "library" / "__init__.py").write_text("# mine\n")
    commit(source, {"train_network.py": "# newer\n"})
    with pytest.raises(TrainerError, match=r"changes of yours: library/__init__.py"):
        list(update(wish(source)))
    git(mine, "checkout", "-q", ".")
    steps = update(wish(source))
    titles = {next(steps).total}
    with pytest.raises(TrainerError, match=r"installing packages failed: .*No module named pip"):
        titles |= {p.total for p in steps}
    assert titles == {3}  # neither venv nor torch
    assert commit_of(mine) == git(source, "rev-parse", "HEAD")
    assert not (mine / INSTALL_RECORD).exists()


def test_commits_that_no_branch_leads_to_get_one(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    first = lookalike(folder, "sd_scripts")
    git(folder, "checkout", "-q", "--detach")
    mine = commit(folder, {"train_network.py": "# mine\n"})
    with Commands(folder) as commands:
        lines = list(move(commands, folder, str(folder), first))
        again = list(move(commands, folder, str(folder), first))
    assert commit_of(folder) == first and git(folder, "rev-parse", f"bracket-kept-{mine[:7]}") == mine
    assert f"your commits are kept in the branch bracket-kept-{mine[:7]}" in lines
    assert not any("kept" in line for line in again)


def test_updating_what_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(TrainerError, match=r"musubi-tuner is not installed.*trainers install musubi"):
        list(update(Wish("musubi")))
