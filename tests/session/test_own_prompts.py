"""A user's own prompt file: its seeds and flags reach the job of every trial, and are kept with the session."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from bracket.files import read_json
from bracket.presets import find_preset
from bracket.session.asked.settings import DatasetSettings, from_preset
from bracket.session.job import make_context, resolve
from bracket.trainers.builtin import _prompt, _repeated


def picture(path: Path, caption: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((64, 64), 60).convert("RGB").save(path)
    path.with_suffix(".txt").write_text(caption)


def test_seeds_and_flags_of_the_users_own_prompts_are_used_and_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for n in range(4):
        picture(data / f"{n}.png", f"a zorp {n}")
    (data / "prompts.txt").write_text("{{trigger}} in snow --D 77 --W 96 --n dull\na zorp at night\n")
    (data / "verdict_prompts.txt").write_text("a zorp by the sea --d 5 --l 2\n")
    dataset = DatasetSettings(folder=str(data), trigger_word="zorp")
    settings = from_preset(find_preset("embedded-demo"), dataset, seed=3)
    made = make_context(tmp_path, settings).dataset
    assert read_json(tmp_path / "dataset.json")["drawn"] == {
        "zorp in snow": {"d": "77", "w": "96", "n": "dull"},
        "a zorp by the sea": {"d": "5", "l": "2"},
    }
    assert make_context(tmp_path, settings).dataset == made == resolve(settings).dataset
    context = resolve(settings, tmp_path)
    first, second = context.choosing_job().prompts[:2]
    assert (first.text, first.seed, second.text) == ("zorp in snow", 77, "a zorp at night") and second.seed != 77
    verdict = context.verdict_prompts()
    assert verdict[0].text == verdict[1].text == "a zorp by the sea"
    assert verdict[0].seed == 5 and verdict[1].seed != 5
    assert len(verdict) == 2 * 20  # topped up by the bank
    job = context.choosing_job()
    assert _prompt(job, first) == {"text": "zorp in snow", "seed": 77, "negative": "dull", "width": 96}


def test_typed_prompts_and_the_kind_reach_the_split(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "a zorp")
    own = ("{{trigger}} in snow --d 77", "a zorp at night", "a zorp by the sea")
    dataset = DatasetSettings(folder=str(tmp_path), trigger_word="zorp", own_prompts=own, kind="style", plain_prompts=1)
    made = resolve(from_preset(find_preset("embedded-demo"), dataset)).dataset
    assert made.prompts == ("zorp in snow", "a zorp at night") and made.drawn == {"zorp in snow": {"d": "77"}}
    assert (made.verdict_prompts[0], len(made.verdict_prompts), made.kind) == ("a zorp by the sea", 20, "style")
    assert sum("zorp" not in text for text in made.verdict_prompts) == 1
    only = DatasetSettings(folder=str(tmp_path), own_prompts=own, use_for="verdict", kind="none")
    made = resolve(from_preset(find_preset("embedded-demo"), only)).dataset
    assert (made.prompts, len(made.verdict_prompts)) == (("a zorp",), 3)


def test_the_built_in_trainer_sees_pictures_as_often_as_their_repeats_say(tmp_path: Path) -> None:
    for name in ("10_sks dog", "4_sks dog side"):
        picture(tmp_path / name / "a.png", name)
    settings = from_preset(find_preset("embedded-demo"), DatasetSettings(folder=str(tmp_path)))
    seen = _repeated(resolve(settings).dataset)
    assert [p.caption for p in seen] == ["10_sks dog"] * 5 + ["4_sks dog side"] * 2
