"""Trainers asked themselves: their parsers, their imports, and git about their checkouts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bracket.errors import TrainerError
from bracket.homes import UPSTREAMS, Home
from bracket.homes.asked import Parser, ask_parsers, examined, imports, parser_of
from bracket.homes.look import ahead_and_behind, changes
from tests.trainers.upstreams import commit, git, lookalike

SCRIPT = """
import argparse
from library.config_util import ConfigSanitizer
def amount(text): return float(text)
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int)
    parser.add_argument("--loss", choices=["l1", "l2", None])
    parser.add_argument("--warmup", type=amount)
    parser.add_argument("--optimizer_args", nargs="*")
    parser.add_argument("--vae", required=True)
    parser.add_argument("--fast", action=argparse.BooleanOptionalAction)
    args = parser.parse_args()
    raise SystemExit("it began to train")
"""
SANITIZER = 'class ConfigSanitizer:\n    SUBSET = {"image_dir": str, "num_repeats": int}\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A checkout that this Python runs, in a folder with a difficult name."""
    monkeypatch.setenv("BRACKET_CONFIG", str(tmp_path / "config"))
    folder = tmp_path / "it's --mine, été"
    lookalike(folder, "sd_scripts")
    commit(folder, {"train_network.py": SCRIPT, "library/config_util.py": SANITIZER})
    return Home("sd_scripts", folder, Path(sys.executable))


def test_a_script_is_asked_once_and_again_when_it_changed(home: Home) -> None:
    assert parser_of(home, "train_network.py") is None
    assert ask_parsers(home, ["train_network.py"]) == []
    parser = parser_of(home, "train_network.py")
    assert parser and parser.keys == {"image_dir", "num_repeats"}
    script = home.folder / "train_network.py"
    script.write_text(SCRIPT.replace("--seed", "--seeds"))
    assert parser_of(home, "train_network.py") is None
    assert ask_parsers(home, ["train_network.py"]) == []
    renewed = parser_of(home, "train_network.py")
    assert renewed and renewed.refused(["--seed", "1"], whole=False) == []  # argparse takes beginnings
    assert renewed.refused(["--seed_of", "1"], whole=False) == ["--seed_of"]


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["--vae", "x", "--seed", "-1", "--loss=l2", "--warmup", "10%", "--optimizer_args", "a=1", "b=2"], []),
        (["--vae", "x", "--no-fast", "--optimizer_args"], []),
        (["--vae", "x", "--seed", "1.5", "--nope", "--nope", "2"], ["--seed: invalid int value: '1.5'", "--nope"]),
        (["--loss", "l3"], ["--loss: invalid choice: 'l3' (choose from", "--vae: it is required"]),
        (["--vae", "--seed"], ["--vae: expected one argument", "--seed: expected one argument"]),
        (["--vae", "x", "--fast", "yes"], ["--fast"]),
    ],
)
def test_what_a_parser_would_refuse_is_named(home: Home, words: list[str], refused: list[str]) -> None:
    ask_parsers(home, ["train_network.py"])
    parser = parser_of(home, "train_network.py")
    assert isinstance(parser, Parser)
    found = parser.refused(words)
    assert len(found) == len(refused) and all(f.startswith(r) for f, r in zip(found, refused, strict=True)), found


def test_a_script_that_can_not_be_started_says_why(home: Home) -> None:
    (home.folder / "train_network.py").write_text("import not_there_at_all\n")
    (problem,) = ask_parsers(home, ["train_network.py"])
    assert problem.level == "error" and parser_of(home, "train_network.py") is None
    assert problem.message == (
        "sd-scripts: train_network.py can't be started: ModuleNotFoundError: No module named 'not_there_at_all'"
    )
    (home.folder / "train_network.py").write_text("import time; time.sleep(60)\n")
    assert ask_parsers(home, ["train_network.py"], seconds=0.2) == []


def stand_in(home: Home, torch: str) -> None:
    """Packages beside the checkout's own, which its Python finds first."""
    files = {"torch/__init__.py": torch, "accelerate.py": "", "library/train_util.py": "", "networks/lora.py": ""}
    commit(home.folder, files)


TORCH = """
__version__ = "2.13.0"
class cuda:
    is_available = staticmethod(lambda: {gpu})
    get_device_name = staticmethod(lambda number: "H200")
"""


@pytest.mark.parametrize(
    ("torch", "level", "said"),
    [
        (TORCH.format(gpu=True), "info", "it imports, with torch 2.13.0 on H200"),
        (TORCH.format(gpu=False), "info", "it imports, with torch 2.13.0 on the CPU alone"),
        (
            "raise OSError('libcudart.so.13: cannot open shared object file')",
            "error",
            "it can't be imported: importing torch: OSError: libcudart.so.13: cannot open shared object file",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "error",
            "it can't be imported: importing torch: it was killed by signal 11",
        ),
        ("import time; time.sleep(60)", "warning", "its imports took longer than"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_what_a_training_imports_is_imported(
    home: Home, torch: str, level: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(home, torch)
    monkeypatch.setattr("bracket.homes.asked.shutil.which", lambda name: None)
    (problem,) = imports(home, seconds=1.0 if level == "warning" else 60.0)
    assert problem.level == level and problem.message.startswith(said)


def test_a_broken_module_of_the_trainers_own_is_an_error(home: Home) -> None:
    stand_in(home, TORCH.format(gpu=True))
    (home.folder / "networks" / "lora.py").write_text("import gone_missing\n")
    (problem,) = imports(home)
    assert problem.message.endswith("importing networks.lora: ModuleNotFoundError: No module named 'gone_missing'")


def test_changes_and_commits_of_the_users_own_are_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first = git(home.folder, "rev-parse", "HEAD")
    stand_in(home, TORCH.format(gpu=True))
    assert changes(home.folder) == [] and ahead_and_behind(home.folder, first) == (1, 0)
    (home.folder / "train_network.py").write_text("# mine\n")
    (home.folder / "of my own.txt").write_text("untracked")
    assert changes(home.folder) == ["train_network.py"]
    said = [p.message for p in examined(home)]
    assert said[0] == "sd-scripts: it has changes of yours: train_network.py"
    with pytest.raises(TrainerError, match="git can't read this checkout"):
        ahead_and_behind(home.folder, UPSTREAMS["sd_scripts"].pinned)
