from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from PIL import Image

from bracket.dataset import check_dataset, check_disk, scan, split, split_problems
from bracket.dataset.checks import trigger_problems
from bracket.demo.dataset import write_demo_dataset
from bracket.domain import Picture


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return write_demo_dataset(tmp_path / "demo")


def test_the_demo_dataset_has_no_problem(demo: Path) -> None:
    assert check_dataset(demo, trigger_word="zorp", resolution=64, deep=True) == []
    seen = scan(demo)
    made = split(seen, 5, trigger_word="zorp", class_word="star")
    assert split_problems(seen, made) == []
    assert (len(made.train), len(made.validation), len(made.prompts), len(made.verdict_prompts)) == (24, 8, 12, 20)


def test_errors_come_first_and_each_names_its_file(demo: Path) -> None:
    (demo / "zorp-03.txt").write_text("")
    (demo / "zorp-04.png").write_bytes(b"no picture")
    (demo / "prompts.txt").write_text("a zorp --seed three\n")
    (demo / "verdict_prompts.txt").write_text("\n# none\n")
    Image.new("RGBA", (64, 64)).save(demo / "zorp-05.png")
    found = [(p.level, p.path.name if p.path else "") for p in check_dataset(demo, trigger_word="zorp")]
    assert found == [
        ("error", "zorp-04.png"),
        ("error", "prompts.txt"),
        ("warning", "zorp-03.txt"),
        ("warning", "verdict_prompts.txt"),
        ("info", "zorp-05.png"),
    ]


def test_a_missing_folder_is_one_problem(tmp_path: Path) -> None:
    (only,) = check_dataset(tmp_path / "none")
    assert (
        str(only)
        == f"The dataset folder does not exist ({tmp_path / 'none'}). Check the path, or choose another folder."
    )


def test_the_trigger_word_must_stand_as_a_word() -> None:
    captions = ["a zorp here", "ZORP", "zorp's hat", "zorpling", "a cat", ""]
    pictures = [Picture(Path(f"{n}.png"), c, 64, 64) for n, c in enumerate(captions)]
    (only,) = trigger_problems(pictures, "zorp")
    assert (only.message, only.path) == ("2 of 5 captions lack the trigger word 'zorp'", Path("3.png"))
    assert trigger_problems(pictures, " ") == []
    assert trigger_problems(pictures[:3], "zorp") == []
    odd = [Picture(Path("a.png"), "photo of <s1>.", 64, 64)]
    assert trigger_problems(odd, "<s1>") == []


def test_small_pictures_are_told_for_the_resolution(demo: Path) -> None:
    (only,) = check_dataset(demo, resolution=512)
    assert (only.level, only.message) == (
        "warning",
        "24 pictures are so small that training enlarges them more than 2 times",
    )
    assert check_dataset(demo, resolution=128) == []


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(100, 0, 3_000_000_000))
    folder = tmp_path / "not" / "yet" / "there"
    assert check_disk(folder, 2_000_000_000) == []
    assert [p.level for p in check_disk(folder, 2_600_000_000)] == ["warning"]
    (only,) = check_disk(folder, 4_500_000_000)
    assert (only.level, only.message) == ("error", "This needs about 4.5 GB of disk and 3.0 GB are free")
    assert not folder.exists()


def test_disk_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert [p.message for p in check_disk(file / "run", 1)] == ["Sessions can't be written here"]
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    assert [p.level for p in check_disk(tmp_path, 1)] == ["error"]


def test_a_dataset_file_is_checked_like_a_folder(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"clip")
    text = f'[[datasets]]\nimage_directory = "{demo}"\n[[datasets]]\nvideo_directory = "clips"\n'
    (tmp_path / "data.toml").write_text(text)
    found = check_dataset(tmp_path / "data.toml", resolution=64)
    assert [p.message for p in found] == [
        "This clip has no caption",
        "Prompt files that are not read: 2",
        "8 pictures in this subfolder are not used",
    ]
    (tmp_path / "data.toml").write_text(text + "flip = true")
    assert [p.level for p in check_dataset(tmp_path / "data.toml")] == ["error"]


@pytest.mark.parametrize(
    ("trainer", "messages"),
    [
        ("", ["1 of 3 prompts have flags that no trainer here knows and are drawn without them: --ar"]),
        ("sd_scripts", [
            "1 of 3 prompts have flags that no trainer here knows and are drawn without them: --ar",
            "2 of 3 prompts have flags that sd-scripts doesn't know and are drawn without them: --f",
        ]),
        ("musubi", ["1 of 3 prompts have flags that no trainer here knows and are drawn without them: --ar"]),
    ],
)  # fmt: skip
def test_flags_that_are_drawn_without_are_told_in_one_line(demo: Path, trainer: str, messages: list[str]) -> None:
    (demo / "prompts.txt").write_text("a zorp --f 3 --D 4\n#tag zorp --f 5\na zorp star --ar 3:2\n")
    found = check_dataset(demo, trigger_word="zorp", trainer=trainer)
    assert [p.message for p in found if p.level == "warning"] == messages
    assert [p.message for p in found if p.level == "info"] == [
        "1 of 3 prompts begin with #; a comment has a blank after it"
    ]


@pytest.mark.parametrize(
    ("trainer", "level", "words"),
    [("sd_scripts", "warning", "sd-scripts reads the first"), ("musubi", "info", "musubi-tuner reads with"),
     ("ai_toolkit", "info", "AI-Toolkit reads with"), ("builtin", "info", "are read as one")],
)  # fmt: skip
def test_captions_of_several_lines_are_told_once(demo: Path, trainer: str, level: str, words: str) -> None:
    for n in (1, 2, 3):
        (demo / f"zorp-0{n}.txt").write_text(f"a zorp {n}\nin the snow")
    (found,) = check_dataset(demo, trigger_word="zorp", trainer=trainer)
    assert found.level == level and words in found.message and "(3 in all)" in found.message
