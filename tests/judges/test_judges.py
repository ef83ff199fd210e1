from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bracket.domain import DatasetSplit
from bracket.environment import child_env
from bracket.errors import JudgeError
from bracket.judges import check_judge, make_judge
from bracket.session.asked.settings import JudgeSettings


def test_an_unknown_judge_is_named_with_the_nearest(stars: DatasetSplit, tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=r"no judge called 'clop'.*Did you mean 'clip'\?"):
        make_judge(JudgeSettings(kind="clop"), stars, tmp_path / "c.sqlite")
    assert not (tmp_path / "c.sqlite").exists()


def test_every_problem_is_found_at_once(tmp_path: Path) -> None:
    found = check_judge(JudgeSettings(model=str(tmp_path / "none"), weights={"beauty": 1.0}))
    assert len(found) == 2 and "missing" in found[0].message and "'beauty'" in found[1].message


def test_a_missing_model_stops_the_making(stars: DatasetSplit, tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="model folder is missing") as caught:
        make_judge(JudgeSettings(model=str(tmp_path / "none")), stars, tmp_path / "c.sqlite")
    assert caught.value.path == tmp_path / "none"


def test_a_dataset_without_captions_is_refused(stars: DatasetSplit, random_clip: Path, tmp_path: Path) -> None:
    bare = replace(stars, train=tuple(replace(p, caption=" ") for p in stars.train))
    with pytest.raises(JudgeError, match="no training picture has a caption"):
        make_judge(JudgeSettings(model=str(random_clip)), bare, tmp_path / "c.sqlite")


def test_checking_and_making_import_nothing_heavy(random_clip: Path) -> None:
    code = (
        "import sys; from bracket.judges import check_judge; from bracket.session.asked.settings import JudgeSettings;"
        "print(check_judge(JudgeSettings(model=sys.argv[1])), {'torch', 'transformers', 'scipy'} & set(sys.modules))"
    )
    argv = [sys.executable, "-c", code, str(random_clip)]
    done = subprocess.run(argv, env=child_env(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] set()"
