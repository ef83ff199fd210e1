from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bracket.errors import PresetError
from bracket.presets import find_preset, list_presets, mended, search
from bracket.presets.matching import typed

PRESETS = list_presets()


def families(query: str) -> set[str]:
    return {p.family for p in search(query, PRESETS)}


@pytest.mark.parametrize(
    ("query", "right"),
    [
        ("sdxl lora", {"SDXL"}),
        ("LORA  SDXL", {"SDXL"}),
        ("pony", {"SDXL"}),
        ("z image", {"Z-Image", "Z-Image Turbo"}),
        ("zimage", {"Z-Image", "Z-Image Turbo"}),
        ("z-Image turbo", {"Z-Image Turbo"}),
        ("flux.1-dev", {"FLUX.1 dev"}),
        ("flux1 schnell", {"FLUX.1 schnell"}),
        ("flux-schnell", {"FLUX.1 schnell"}),
        ("fluxschnell", {"FLUX.1 schnell"}),
        ("wan-video i2v 2.2", {"Wan 2.2 I2V A14B"}),
        ("sdxllora", {"SDXL"}),
        ("flux dev", {"FLUX.1 dev", "FLUX.2 dev", "FLUX.1 Kontext"}),
        ("wan2.2 i2v", {"Wan 2.2 I2V A14B"}),
        ("i2v wan 2.2", {"Wan 2.2 I2V A14B"}),
        ("sd1.5", {"SD 1.5"}),
        ("lokr qwen", {"Qwen-Image"}),
        ("9b edit", {"FLUX.2 Klein base 9B edit"}),
        ("4b 9b", set()),
        ("cpu", {"Embedded demo"}),
        ("nonsense", set()),
    ],
)
def test_words_find_models(query: str, right: set[str]) -> None:
    assert families(query) == right


@pytest.mark.parametrize(
    ("query", "trainers"),
    [
        ("kohya", {"sd_scripts", "musubi"}),
        ("kohya_ss", {"sd_scripts"}),
        ("sd-scripts", {"sd_scripts"}),
        ("musubi tuner", {"musubi"}),
        ("ai-toolkit", {"ai_toolkit"}),
        ("AI Toolkit", {"ai_toolkit"}),
        ("ostris", {"ai_toolkit"}),
    ],
)
def test_words_find_trainers(query: str, trainers: set[str]) -> None:
    assert {p.trainer for p in search(query, PRESETS)} == trainers


@pytest.mark.parametrize("query", ["24gb", "24 GB", "24 GB of VRAM", "24g"])
def test_memory_finds_what_fits(query: str) -> None:
    assert {p.name for p in search(query, PRESETS)} == {p.name for p in PRESETS if 0 < p.least_gb <= 24}


def test_videos_and_full_fine_tunes_are_found() -> None:
    assert {p.media for p in search("wan video", PRESETS)} == {"video"}
    assert {p.method for p in search("full finetune", PRESETS)} == {"full"}
    assert search("", PRESETS) == PRESETS, "no words are all of them"


def test_models_of_that_name_come_before_those_whose_trainer_has_it() -> None:
    assert search("flux dev", PRESETS)[0].family == "FLUX.1 dev", "FLUX.1 Kontext dev is called so too, but not first"
    found = [p.family for p in search("sd", PRESETS)]
    assert found[0].startswith("SD") and not found[-1].startswith("SD")


@pytest.mark.parametrize(
    ("slip", "guess"),
    [
        ("kontxt", "kontext"),
        ("kleen 4b", "klein 4b"),
        ("sdlx", "sdxl"),
        ("qqqq", ""),
        ("sdxl", ""),
        ("cheap sdxl", "sdxl"),
    ],
)
def test_a_slip_is_put_right(slip: str, guess: str) -> None:
    assert mended(slip, PRESETS) == guess


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("embeded-demo", "Did you mean 'embedded-demo'"),
        ("sd-scripts-sdxl-lroa", "Did you mean 'sd-scripts-sdxl-lora'"),
        ("lora sdxl kohya", "Did you mean 'sd-scripts-sdxl-lora'?"),
        ("kontxt", "Did you mean 'musubi-flux1-kontext-lora'?"),
        ("flux dev", "`presets flux dev` lists all 5 that fit"),
        ("qqqq", "`presets` lists all"),
        ("", "`presets` lists all"),
        ("--", "`presets` lists all"),
    ],
)
def test_a_mistyped_name_is_told_the_nearest(name: str, said: str) -> None:
    with pytest.raises(PresetError) as caught:
        find_preset(name)
    assert said in str(caught.value)


@given(st.text(max_size=60) | st.text("sdxlora1.5-gb ", max_size=60))
@settings(deadline=None, max_examples=60)
def test_anything_may_be_typed(query: str) -> None:
    assert all(word.isalnum() for word in typed(query))
    assert set(p.name for p in search(query, PRESETS)) <= {p.name for p in PRESETS}


@given(st.permutations(["flux", "dev", "lora", "16gb"]))
def test_the_order_of_words_counts_for_nothing(words: list[str]) -> None:
    assert families(" ".join(words)) == families("flux dev lora 16gb") != set()
