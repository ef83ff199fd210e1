"""Folders as people have them: kohya's layout, folders below, several at once."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from bracket.dataset import (
    ai_toolkit_datasets,
    check_dataset,
    link_pictures,
    musubi_toml,
    scan,
    sd_scripts_toml,
    split,
    split_from_json,
    split_to_json,
    suggested_words,
    untold,
)
from bracket.domain import Problem
from bracket.errors import DatasetError


def picture(path: Path, caption: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((40, 32), 60).convert("RGB").save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)
    return path


def kohya(root: Path, inside: str = "img") -> Path:
    for n in range(4):
        picture(root / inside / "10_sks dog" / f"{n}.png")
        picture(root / inside / "3_sks dog, side" / f"s{n}.png", f"sks dog from side {n}")
        picture(root / "reg" / "1_dog" / f"r{n}.png")
    picture(root / "model" / "sample" / "x.png")
    (root / "log").mkdir(exist_ok=True)
    return root


def told(problems: list[Problem], level: str) -> list[str]:
    return [p.message for p in problems if p.level == level]


@pytest.mark.parametrize("inside", ["img", "", "data/train"])
def test_kohyas_layout_is_read_with_repeats_words_and_regularisation(tmp_path: Path, inside: str) -> None:
    seen = scan(kohya(tmp_path, inside))
    assert [(s.folder.name, s.repeats, s.regularisation, s.class_words) for s in seen.sources] == [
        ("10_sks dog", 10, False, "sks dog"),
        ("3_sks dog, side", 3, False, "sks dog, side"),
        ("1_dog", 1, True, "dog"),
    ]
    assert [p.caption for p in seen.pictures[:5]] == ["sks dog"] * 4 + ["sks dog from side 0"]
    assert suggested_words(seen.sources) == ("sks", "dog")
    said = "kohya's layout: 2 folders, repeats 10 and 3, 1 regularisation folder"
    assert told(check_dataset(tmp_path), "info") == [said, "Folders left aside: log, model"]
    assert told(check_dataset(tmp_path), "error") == told(check_dataset(tmp_path), "warning") == []


def test_each_trainer_is_told_of_it_in_its_words(tmp_path: Path) -> None:
    made = split(scan(kohya(tmp_path / "mine")), validation=0, verdict=0)
    links = link_pictures(made, made.train, tmp_path / "links")
    subsets = tomllib.loads(sd_scripts_toml(links, {}))["datasets"][0]["subsets"]
    assert [(s["num_repeats"], s.get("is_reg", False)) for s in subsets] == [(10, False), (3, False), (1, True)]
    assert (Path(subsets[2]["image_dir"]) / "r0.txt").read_text() == "dog\n"
    assert (Path(subsets[0]["image_dir"]) / "0.txt").read_text() == "sks dog\n"
    theirs = ai_toolkit_datasets(links, {})
    assert [(d["num_repeats"], d.get("is_reg", False)) for d in theirs] == [(10, False), (3, False), (1, True)]
    musubi = tomllib.loads(musubi_toml(links, {}, tmp_path / "cache"))["datasets"]
    assert [d["num_repeats"] for d in musubi] == [10, 3]
    assert [p.message for p in untold("musubi", made.sources, {})] == [
        "musubi-tuner knows no regularisation pictures; these are not used"
    ]


def test_a_folder_of_that_layout_chosen_itself_gives_its_words_and_dates_are_no_repeats(tmp_path: Path) -> None:
    kohya(tmp_path)
    (source,) = scan(tmp_path / "img" / "10_sks dog").sources
    assert (source.repeats, source.class_words) == (1, "sks dog")
    assert "Regularisation pictures beside this folder are not used" in told(check_dataset(tmp_path / "img"), "warning")
    picture(tmp_path / "img" / "2024_holiday" / "h.png", "a beach")
    assert "1 pictures in this subfolder are not used" in told(check_dataset(tmp_path), "warning")
    picture(tmp_path / "days" / "2024_holiday" / "h.png", "a beach")
    assert [(s.repeats, s.class_words) for s in scan(tmp_path / "days").sources] == [(1, "")]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("5_zorp",), ("zorp", "")),
        (("5_zorp big star", "reg/1_big star"), ("zorp", "big star")),
        (("5_zorp man", "reg/1_person"), ("zorp", "person")),
        (("5_",), ("", "")),
    ],
)
def test_trigger_and_class_come_from_the_names(tmp_path: Path, names: tuple[str, ...], words: tuple[str, str]) -> None:
    for name in names:
        picture(tmp_path / name / "a.png")
    assert suggested_words(scan(tmp_path).sources) == words


def test_folders_below_are_read_where_the_folder_itself_holds_no_picture(tmp_path: Path) -> None:
    for name in ("a/deep/er", "b", "masks", ".hidden", "_cache"):
        picture(tmp_path / name / "1.png", f"of {name}")
    (tmp_path / "a" / "deep" / "round").symlink_to(tmp_path)
    seen = scan(tmp_path)
    assert [p.caption for p in seen.pictures] == ["of a/deep/er", "of b"]
    assert "The pictures of 2 subfolders are used" in told(list(seen.problems), "info")


def test_too_many_folders_are_refused_soon(tmp_path: Path) -> None:
    for n in range(1001):
        (tmp_path / f"{n}").mkdir()
    with pytest.raises(DatasetError, match="More than 1000 folders"):
        scan(tmp_path)


def test_several_folders_and_files_are_one_dataset(tmp_path: Path) -> None:
    one, two = (picture(tmp_path / name / "1.png", f"of {name}").parent for name in ("one", "two"))
    picture(tmp_path / "three" / "1.png", "of three")
    (tmp_path / "data.toml").write_text('[[datasets]]\nbatch_size = 2\n[[datasets.subsets]]\nimage_dir = "three"\n')
    (one / "prompts.txt").write_text("a cat\n")
    seen = scan(f"{one}\n '{two}/' \n\n{tmp_path / 'data.toml'}\n")
    assert [(p.caption, p.source) for p in seen.pictures] == [("of one", 0), ("of two", 1), ("of three", 2)]
    assert (seen.folder, dict(seen.options), dict(seen.sources[2].options)) == (one, {}, {"batch_size": 2})
    made = split(seen)
    assert made.prompts == ("a cat",) and split_from_json(split_to_json(made)) == made
    names = [Path(s.folder).name for s in link_pictures(made, made.train, tmp_path / "links")]
    assert names == ["0-one", "1-two", "2-three"]
    with pytest.raises(DatasetError, match="No dataset folder is given"):
        scan("\n \n")


@pytest.mark.skipif(os.name == "nt", reason="names of another encoding")
def test_names_of_another_encoding_are_told_and_can_be_shown(tmp_path: Path) -> None:
    picture(tmp_path / "good.png", "a cat")
    os.rename(picture(tmp_path / "bad.png", "a dog"), os.fsencode(tmp_path) + b"/caf\xe9.png")
    found = check_dataset(tmp_path)
    assert "This picture can't be used: its name is not Unicode; rename it" in told(found, "error")
    "".join(map(str, found)).encode()
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    with pytest.raises(DatasetError, match="not Unicode") as caught:
        scan(os.fsdecode(os.fsencode(tmp_path) + b"/\xff/none"))
    str(caught.value).encode()
