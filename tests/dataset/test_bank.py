"""The bank's prompts: enough of every kind, parted once and for all, with the dataset's own words filled in."""

from __future__ import annotations

import pytest

from bracket.dataset.bank import KINDS, Half, Kind, Subject, bank, from_bank, guessed_kind

SUBJECT = Subject("zorp", "lamp")


def texts(kind: Kind, half: Half, subject: Subject = SUBJECT, plain: int = 0) -> list[str]:
    return [text for _, text in from_bank(kind, half, subject, 1, plain)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_enough_and_parts_it(kind: Kind) -> None:
    found = bank(kind)
    choosing, verdict = found.named["choosing"], found.named["verdict"]
    count = {half: sum(map(len, themes.values())) for half, themes in found.named.items()}
    assert count["choosing"] + count["verdict"] >= 60
    assert len(verdict) >= 20 and len(choosing) >= 12
    everything = [t for part in (found.named, found.plain) for half in part.values() for t in half]
    assert len(everything) == len({*everything})
    said = [p.casefold() for part in (found.named, found.plain) for h in part.values() for ps in h.values() for p in ps]
    assert len(said) == len({*said})
    assert all(len(half) >= 2 for half in found.plain.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_are_filled_in_and_some_prompts_are_plain(kind: Kind) -> None:
    for half in ("choosing", "verdict"):
        named, mixed = texts(kind, half), texts(kind, half, plain=2)
        assert all("zorp" in text and "{" not in text for text in named)
        plain = [text for text in mixed[:12] if "zorp" not in text]
        assert len(plain) == 2 and "{" not in "".join(plain)
        unnamed = texts(kind, half, Subject(class_word="lamp"), plain=2)
        assert len(unnamed) == len(named) and "zorp" not in "".join(unnamed)
        assert all("{" not in text for text in texts(kind, half, Subject()))


def test_the_subject_is_called_as_its_captions_call_it() -> None:
    said = "photo of a zorp lamp in a room"
    assert Subject("zorp", "lamp").name == Subject("zorp", "lamp", (said,)).name == "zorp lamp"
    assert Subject("zorp", "lamp", ("zorp in a room",)).name == "zorp"
    assert Subject("zorp lamp", "lamp").name == "zorp lamp"
    assert (Subject("zorp", "lamp", (said,)).article, Subject("zorp", "", ("zorp here",)).article) == ("a", "")
    beach = [text for text in texts("object", "choosing", Subject("zorp", "lamp", (said,))) if "wet sand" in text]
    assert beach == ["a zorp lamp on wet sand as a wave runs out, low sun"]
    assert [t for t in texts("object", "choosing", Subject(class_word="lamp")) if "wet sand" in t] == [
        "a lamp on wet sand as a wave runs out, low sun"
    ]


def test_a_style_is_added_where_the_captions_have_it() -> None:
    first = texts("style", "verdict", Subject("zorp"))[0]
    assert first.endswith(", zorp")
    leading = texts("style", "verdict", Subject("zorp", captions=("zorp, a house", "zorp, a tree")))[0]
    assert leading == f"zorp, {first.removesuffix(', zorp')}"


def test_the_order_follows_from_the_seed_and_themes_come_in_turns() -> None:
    a, b = (list(from_bank("object", "verdict", SUBJECT, seed)) for seed in (1, 2))
    assert a != b and {*a} == {*b}
    themes = [theme for theme, _ in a]
    count = len({*themes})
    assert len({*themes[:count]}) == count


@pytest.mark.parametrize(
    ("word", "captions", "clips", "kind"),
    [
        ("woman", (), False, "person"),
        ("dog", (), False, "animal"),
        ("sports car", (), False, "object"),
        ("", ("a cat on a sofa", "two cats"), False, "animal"),
        ("", ("zorp with her hands up",), False, "person"),
        ("", ("a small red circle on a blue background",), False, "shapes"),
        ("woman", (), True, "clip"),
        ("", ("something else",), False, "object"),
        ("", (), False, "object"),
    ],
)
def test_the_kind_is_guessed(word: str, captions: tuple[str, ...], clips: bool, kind: Kind) -> None:
    assert guessed_kind(word, captions, clips=clips) == kind
