from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bracket.dataset import (
    KindChoice,
    PromptChoice,
    Scan,
    Use,
    sources_of,
    split,
    split_from_json,
    split_problems,
    split_to_json,
)
from bracket.domain import DatasetSplit, Picture, Source
from bracket.errors import DatasetError


def scan_of(folder: Path, captions: list[str], **more: object) -> Scan:
    pictures = tuple(Picture(folder / f"{n:03d}.png", c, 64, 64) for n, c in enumerate(captions))
    return Scan(folder, pictures, (), **more)  # type: ignore[arg-type]


def numbered(count: int) -> list[str]:
    return [f"zorp number {n}" for n in range(count)]


def origins(made: DatasetSplit, prompts: tuple[str, ...]) -> Counter[str]:
    return Counter(made.origins[text] for text in prompts)


def messages(scan: Scan, made: DatasetSplit) -> list[str]:
    return [f"{p.level}: {p.message}" for p in split_problems(scan, made)]


def test_shares_of_a_middling_dataset(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, numbered(40))
    made = split(scan, 7, trigger_word="zorp", class_word="star")
    assert (len(made.train), len(made.validation)) == (36, 4)
    assert (len(made.prompts), len(made.verdict_prompts)) == (12, 20)
    assert made.prompts[:4] == tuple(p.caption for p in made.validation)
    assert origins(made, made.prompts) == {"caption": 4, "bank": 8}
    assert origins(made, made.verdict_prompts) == {"bank": 20}
    assert (made.trigger_word, made.class_word, made.folder) == ("zorp", "star", tmp_path)
    trained = {p.caption for p in made.train}
    validated = {p.caption for p in made.validation}
    assert not (trained & validated or trained & {*made.verdict_prompts} or validated & {*made.verdict_prompts})
    assert [p.path.name for p in made.train] == sorted(p.path.name for p in made.train)
    assert messages(scan, made) == []


def test_counts_are_the_most_that_is_taken(tmp_path: Path) -> None:
    made = split(scan_of(tmp_path, numbered(400)), 0, validation=5, prompts=3, verdict=7)
    assert (len(made.validation), len(made.prompts), len(made.verdict_prompts), len(made.train)) == (5, 3, 7, 388)
    assert origins(made, made.verdict_prompts) == {"caption": 7}
    none = split(scan_of(tmp_path, numbered(400)), 0, validation=0, verdict=0)
    assert (len(none.train), none.validation, none.verdict_prompts, len(none.prompts)) == (400, (), (), 12)


@pytest.mark.parametrize(("pictures", "held", "kept"), [(11, 0, 0), (12, 3, 0), (36, 4, 0), (99, 8, 0), (100, 8, 5)])
def test_few_pictures_are_all_trained_on_and_many_give_some(
    tmp_path: Path, pictures: int, held: int, kept: int
) -> None:
    made = split(scan_of(tmp_path, numbered(pictures)))
    assert (len(made.validation), origins(made, made.verdict_prompts)["caption"]) == (held, kept)
    assert len(made.train) == pictures - held - kept
    assert len(made.verdict_prompts) == 20


def test_the_same_seed_gives_the_same_split_and_another_another(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, numbered(60))
    assert split(scan, 1) == split(scan, 1)
    assert {p.path for p in split(scan, 1).validation} != {p.path for p in split(scan, 2).validation}


def test_a_picture_more_leaves_the_others_where_they_were(tmp_path: Path) -> None:
    before = {p.path for p in split(scan_of(tmp_path, numbered(60)), 1).train}
    after = {p.path for p in split(scan_of(tmp_path, numbered(61)), 1).train}
    assert len(before - after) <= 2


def test_a_moved_folder_is_split_alike(tmp_path: Path) -> None:
    here = split(scan_of(tmp_path / "here", numbered(30)), 3)
    there = split(scan_of(tmp_path / "there", numbered(30)), 3)
    assert [p.path.name for p in here.validation] == [p.path.name for p in there.validation]


def test_three_pictures_are_all_trained_on_and_that_is_said(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, numbered(3))
    made = split(scan)
    assert (len(made.train), made.validation, len(made.prompts), len(made.verdict_prompts)) == (3, (), 12, 20)
    assert not {*made.prompts, *made.verdict_prompts} & {*numbered(3)}
    assert messages(scan, made) == ["warning: No picture is held out for the validation loss"]


def test_without_the_bank_few_pictures_give_few_prompts(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, numbered(3))
    made = split(scan, choice=PromptChoice(kind="none"))
    assert (len(made.train), made.verdict_prompts, made.kind) == (3, (), "")
    assert sorted(made.prompts) == numbered(3)
    assert messages(scan, made) == [
        "warning: 3 of 3 search prompts are captions of training pictures",
        "warning: No picture is held out for the validation loss",
        "warning: No prompt is left for the verdict, so nothing can be proved",
    ]


def test_prompt_files_win(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("# to choose by\n{{trigger}} in snow --d 4\na dog\na dog\n")
    (tmp_path / "verdict_prompts.txt").write_text("a {{trigger}} at night\nZORP  in snow.\nzorp number 3\n")
    scan = scan_of(tmp_path, numbered(40))
    made = split(scan, trigger_word="zorp")
    assert made.prompts == ("zorp in snow", "a dog")
    # The others are a search prompt and a caption, if for their blanks and capitals.
    assert made.verdict_prompts[0] == "a zorp at night"
    assert origins(made, made.verdict_prompts) == {"own": 1, "bank": 19}
    assert (len(made.train), len(made.validation)) == (36, 4)
    assert messages(scan, made) == [
        "warning: 2 of 3 verdict prompts are also captions or search prompts and were left out"
    ]


def test_search_prompts_of_a_file_are_no_verdict_prompts(tmp_path: Path) -> None:
    captions = numbered(200)
    (tmp_path / "prompts.txt").write_text("\n".join(captions[:150]))
    made = split(scan_of(tmp_path, captions), prompts=200)
    assert len(made.prompts) == 150
    kept = {text for text in made.verdict_prompts if made.origins[text] == "caption"}
    assert len(kept) == 10 and kept <= {*captions[150:]}
    assert {*made.verdict_prompts} & {p.caption for p in made.validation} == set()


def test_an_empty_prompt_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("# nothing yet\n")
    made = split(scan_of(tmp_path, numbered(40)))
    assert origins(made, made.prompts) == {"caption": 4, "bank": 8}


@pytest.mark.parametrize(("use", "search", "verdict"), [("search", 3, 0), ("verdict", 0, 3), ("both", 2, 1)])
def test_typed_prompts_choose_or_prove_or_both_and_never_the_same(
    tmp_path: Path, use: Use, search: int, verdict: int
) -> None:
    own = ("a {{trigger}} in snow --d 4", "# a remark", "a zorp at night", "a dog")
    made = split(scan_of(tmp_path, numbered(5)), trigger_word="zorp", choice=PromptChoice(own=own, use=use))
    typed = ("a zorp in snow", "a zorp at night", "a dog")
    assert made.prompts[:search] == typed[:search]
    assert made.verdict_prompts[:verdict] == typed[search:]
    # Own search prompts stand alone, the verdict's are topped up.
    assert (len(made.prompts), len(made.verdict_prompts)) == (search or 12, 20)
    assert made.drawn == {"a zorp in snow": {"d": "4"}}


def test_a_typed_prompt_that_cant_be_read_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="Line 2: --w takes a whole number"):
        split(scan_of(tmp_path, numbered(5)), choice=PromptChoice(own=("a cat", "a cat --w wide")))


def test_a_wrong_prompt_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a cat --w wide\n")
    with pytest.raises(DatasetError, match=r"Line 1: --w takes a whole number.*prompts\.txt"):
        split(scan_of(tmp_path, numbered(40)))


def test_the_validation_folder_wins(tmp_path: Path) -> None:
    extra = tuple(Picture(tmp_path / "validation" / f"{n}.png", f"held {n}", 64, 64) for n in range(5))
    made = split(scan_of(tmp_path, numbered(20), validation=extra), validation=4)
    assert made.validation == extra[:4]
    assert made.prompts[:4] == ("held 0", "held 1", "held 2", "held 3")
    assert (len(made.train), len(made.verdict_prompts)) == (20, 20)


def test_one_caption_for_all_makes_no_fresh_prompts(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, ["photo of zorp"] * 200)
    made = split(scan)
    assert (len(made.train), len(made.validation)) == (192, 8)
    assert origins(made, made.prompts) == {"caption": 1, "bank": 11}
    assert origins(made, made.verdict_prompts) == {"bank": 20}
    alone = split(scan, choice=PromptChoice(kind="none"))
    assert (alone.prompts, alone.verdict_prompts) == (("photo of zorp",), ())
    assert "warning: No prompt is left for the verdict, so nothing can be proved" in messages(scan, alone)


def test_twins_and_pictures_without_caption_are_never_held_out(tmp_path: Path) -> None:
    captions = ["", *numbered(14)]
    scan = scan_of(tmp_path, captions)
    twins = Scan(tmp_path, scan.pictures, (), duplicates=(tuple(p.path for p in scan.pictures[:12]),))
    for seed in range(20):
        made = split(twins, seed)
        assert {p.path.name for p in made.validation} == {"012.png", "013.png", "014.png"}


def test_pictures_whose_caption_another_has_are_held_out_last(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, [*numbered(6), *numbered(6), "a", "b", "c"])
    for seed in range(10):
        assert {p.path.name for p in split(scan, seed).validation} == {"012.png", "013.png", "014.png"}


def test_fewer_than_three_that_can_be_held_out_are_trained_on(tmp_path: Path) -> None:
    made = split(scan_of(tmp_path, ["", *numbered(2), *[""] * 20]))
    assert (len(made.train), made.validation) == (23, ())


def test_without_captions_the_bank_is_drawn(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, [""] * 12)
    made = split(scan)
    assert (len(made.train), len(made.prompts), len(made.verdict_prompts)) == (12, 12, 20)
    alone = split(scan, choice=PromptChoice(kind="none"))
    assert (len(alone.train), alone.prompts) == (12, ())
    assert messages(scan, alone)[0] == "error: There is nothing to draw in the search"


SENTENCES = [f"photo of a zorp {act} in {place}" for act in ("running", "asleep", "eating") for place in "ABCDEFGHIJKL"]


@pytest.mark.parametrize("pictures", [1, 8, 12, 20, 36])
@pytest.mark.parametrize("captioned", [True, False])
@pytest.mark.parametrize("trigger", ["zorp", ""])
@pytest.mark.parametrize("kind", ["auto", "style", "person"])
def test_any_set_has_twenty_fresh_verdict_prompts(
    tmp_path: Path, pictures: int, captioned: bool, trigger: str, kind: KindChoice
) -> None:
    captions = SENTENCES[:pictures] if captioned else [""] * pictures
    for seed in range(5):
        made = split(scan_of(tmp_path, captions), seed, trigger_word=trigger, choice=PromptChoice(kind=kind))
        seen = {p.caption for p in (*made.train, *made.validation)} | {*made.prompts}
        assert len(made.train) + len(made.validation) == pictures
        assert (len(made.prompts), len({*made.verdict_prompts})) == (12, 20)
        assert not {*made.verdict_prompts} & seen
        chose, proves = (
            {made.themes.get(text, text) for text in texts} for texts in (made.prompts, made.verdict_prompts)
        )
        assert not chose & proves
        assert made.count_themes(made.verdict_prompts) == 20
        if trigger:
            assert sum("zorp" not in text for text in made.verdict_prompts) == 2
            assert 0 < sum("zorp" not in text for text in made.prompts) <= 2


def test_captions_parts_are_put_together_anew_where_the_bank_is_not_wanted(tmp_path: Path) -> None:
    captions = SENTENCES[:5] + SENTENCES[17:22]
    made = split(scan_of(tmp_path, captions), trigger_word="zorp", choice=PromptChoice(kind="none"))
    assert len(made.prompts) == 4 and made.verdict_prompts
    assert origins(made, made.verdict_prompts) == {"recombined": len(made.verdict_prompts)}
    assert not {*made.verdict_prompts} & {*captions}
    assert all(text.count("zorp") == 1 for text in made.verdict_prompts)
    assert not {made.themes[text] for text in made.verdict_prompts} & {*made.prompts}
    assert made.count_themes(made.verdict_prompts) <= len(captions) - len(made.prompts)


def test_json_there_and_back(tmp_path: Path) -> None:
    elsewhere = Picture(tmp_path.parent / "other.png", "é", 10, 20)
    folder = Picture(tmp_path / "validation" / "a.png", "b", 1, 2)
    made = DatasetSplit(tmp_path, (elsewhere,), (folder,), ("p",), ("v",), "zorp", "star")
    made = replace(made, themes={"v": "t"}, origins={"v": "bank"}, kind="style")
    data = json.loads(json.dumps(split_to_json(made)))
    assert data["validation"][0]["path"] == "validation/a.png"
    assert split_from_json(data) == made
    earlier = {name: value for name, value in data.items() if name not in ("themes", "origins", "kind")}
    assert split_from_json(earlier) == replace(made, themes={}, origins={}, kind="")


@pytest.mark.parametrize("key", ["folder", "train", "prompts", "trigger_word"])
def test_damaged_json_says_what_is_missing(tmp_path: Path, key: str) -> None:
    data = split_to_json(split(scan_of(tmp_path, numbered(10))))
    del data[key]
    with pytest.raises(DatasetError, match=f"damaged: '{key}' is missing"):
        split_from_json(data)


def test_json_of_another_shape_is_refused(tmp_path: Path) -> None:
    data = split_to_json(split(scan_of(tmp_path, numbered(10))))
    for value in (3, [1], [{"path": "a", "caption": "", "width": "wide", "height": 1}]):
        with pytest.raises(DatasetError, match="damaged"):
            split_from_json(data | {"train": value})


def two_sources(folder: Path) -> Scan:
    """Pictures, clips and pairs of two sources that share a folder: `a` is trained in two resolutions."""
    a, b = folder / "a", folder / "b"
    pictures = [Picture(a / f"{n:02d}.png", f"zorp a {n}", 64, 64, 0) for n in range(20)]
    pictures += [replace(p, source=1) for p in pictures]
    pictures += [Picture(b / f"{n:02d}.mp4", f"zorp b {n}", 0, 0, 2, (b / "c" / f"{n}.mp4",)) for n in range(20)]
    wide = Source(a, options={"resolution": [64, 32]})
    sources = (Source(a), wide, Source(b, "video", controls=(b / "c",), repeats=3), Source(folder / "reg"))
    return Scan(folder, tuple(pictures), (), sources=sources, options={"batch_size": 2})


def test_a_picture_of_two_sources_is_held_out_of_both(tmp_path: Path) -> None:
    scan = two_sources(tmp_path)
    for seed in range(5):
        made = split(scan, seed)
        held = {p.path for p in made.validation}
        assert len(made.validation) == len(held) == 4  # a tenth of 40 different ones
        assert not held & {p.path for p in made.train}
        assert len({p.path for p in made.train}) == 40 - 4
        assert {p.path for p in made.train if p.source == 0} == {p.path for p in made.train if p.source == 1}
    assert any(p.source == 2 for seed in range(5) for p in split(scan, seed).validation)
    assert (made.sources, made.options) == (scan.sources, scan.options)


def test_some_pictures_of_every_source_for_short_trials(tmp_path: Path) -> None:
    scan = two_sources(tmp_path)
    full, some, more = (split(scan, 4, per_folder=n) for n in (0, 3, 5))
    assert [sum(p.source == n for p in some.train) for n in range(3)] == [3, 3, 3]
    assert set(some.train) < set(more.train) < set(full.train)
    assert {p.path for p in some.train if p.source == 0} == {p.path for p in some.train if p.source == 1}
    for short in (some, more):
        assert replace(short, train=full.train) == full
    assert split(scan, 4, per_folder=100) == full
    assert split(scan, 5, per_folder=3).train != some.train


def test_json_keeps_sources_and_options_and_reads_splits_without(tmp_path: Path) -> None:
    made = split(two_sources(tmp_path), 1)
    data = json.loads(json.dumps(split_to_json(made)))
    assert split_from_json(data) == made
    old = {k: v for k, v in data.items() if k not in ("sources", "options")}
    assert sources_of(split_from_json(old)) == (Source(tmp_path),)
    assert sources_of(made) == made.sources
    for wrong in ([3], [{}], [{"folder": "a", "controls": [], "more": 1}]):
        with pytest.raises(DatasetError, match="damaged"):
            split_from_json(data | {"sources": wrong})
