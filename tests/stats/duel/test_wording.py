from __future__ import annotations

import re

import numpy as np
import pytest

from bracket.stats import Verdict, checkpoint_claim, config_claim, decide, sentence, short_sentence

LABEL = "lr 3e-4, rank 16"
BASE = np.linspace(0.3, 0.6, 40)
GAIN = np.array([0.05] * 32 + [-0.05] * 8)
WON = checkpoint_claim(BASE + GAIN, BASE)
LOST = checkpoint_claim(BASE - GAIN, BASE)
EVEN = checkpoint_claim(BASE + np.array([0.05, -0.05] * 20), BASE)
SIX = config_claim([0.03, 0.02, 0.04, 0.01, 0.05, 0.03])
OPEN = config_claim([0.03, -0.02, 0.01, -0.01, 0.02, -0.03])

VERDICTS = {
    "file wins": decide("w", "b", checkpoint=WON, config=config_claim([0.02]), training_seeds=2),
    "file wins, settings open": decide("w", "b", checkpoint=WON, config=OPEN),
    "settings win": decide("w", "b", checkpoint=WON, config=SIX),
    "baseline's file wins": decide("w", "b", checkpoint=LOST),
    "baseline's settings win": decide("w", "b", config=config_claim([-0.02] * 5 + [-0.01])),
    "nothing found": decide("w", "b", checkpoint=EVEN, config=OPEN, training_seeds=3),
    "too few": decide("w", "b", checkpoint=checkpoint_claim(BASE[:3] + 0.1, BASE[:3]), config=config_claim([0.1, 0.2])),
    "no duel": decide("w", "b"),
    "decided while watching": decide("w", "b", config=config_claim([0.03] * 8, planned=12)),
    "baseline decided": decide("w", "b", config=config_claim([-0.03] * 9, planned=12)),
    "hopeless": decide("w", "b", checkpoint=EVEN, config=config_claim([-0.03], planned=5), training_seeds=2),
    "stopped by hand": decide("w", "b", config=config_claim([0.03] * 3, planned=6)),
    "baseline leads": decide("b", "b"),
}


def test_a_file_that_wins_reads_as_the_house_writes_it() -> None:
    assert sentence(VERDICTS["file wins"], LABEL) == (
        "**lr 3e-4, rank 16** wins. Its pictures beat the baseline's in 80 % of 40 fresh prompts "
        "(95 % interval 64–90 %). This is about this LoRA file; for the settings, 1 paired run was planned, and a "
        "claim takes 5."
    )
    assert short_sentence(VERDICTS["file wins"], LABEL) == (
        "lr 3e-4, rank 16 wins: 80 % of 40 fresh prompts (64–90 %), about this LoRA file"
    )


def test_settings_that_win_name_seeds_interval_and_p() -> None:
    text = sentence(VERDICTS["settings win"], LABEL)
    assert "Trained afresh with 6 new seeds each, these settings win more often than they lose: 6 of 6 pairs" in text
    # The third of 63 subset means from below, floor(0.05 · 64): 0.010, 0.015, 0.020.
    assert (
        "they are judged 3.0 points higher than the baseline's, on a scale from 0 to 100 (at least +2.0 points" in text
    )
    assert "one-sided p = 0.016)" in text and "a rare one judged much lower could make up for it" in text
    assert "6 of 6 paired training seeds, about the settings" in short_sentence(VERDICTS["settings win"], LABEL)
    assert "needed runs" not in text


def test_the_baseline_wins_in_plain_words() -> None:
    text = sentence(VERDICTS["baseline's file wins"], LABEL)
    assert "the baseline beats it" in text
    assert "only 20 % of 40 fresh prompts" in text and "about this LoRA file" in text
    settings = sentence(VERDICTS["baseline's settings win"], LABEL)
    assert "1.8 points lower" in settings and "two-sided p = 0.031" in settings


def test_no_difference_carries_what_could_have_been_found() -> None:
    text = sentence(VERDICTS["nothing found"], LABEL)
    assert text.startswith("No difference found")
    # sd 0.0506 over 40 prompts at 0.04: (2.054 + 0.842) · 0.0506/√40 = 0.0232, a little more for Student's.
    assert "2.4 points would have been found by 40 prompts 80 % of the time" in text
    assert "6 paired training seeds differ by 0.0 points on average" in text
    assert "2.4 points could have been found" in short_sentence(VERDICTS["nothing found"], LABEL)


AVERAGE = decide("w", "b", config=config_claim([0.5, 0.41, 0.45, 0.4, 0.48, 0.42] * 3))
WORSE = decide("w", "b", config=config_claim([-0.5, -0.41, -0.45, -0.4, -0.48, -0.42] * 3))


def test_a_claim_about_the_average_is_in_points_and_in_the_old_words_of_old_certificates() -> None:
    assert AVERAGE.config and AVERAGE.config.says == "average"
    # The mean of the six is 2.66 / 6 = 0.44333.
    assert short_sentence(AVERAGE, LABEL) == (
        f"{LABEL} wins: pictures judged 44.3 points higher over 18 paired training seeds, about the settings"
    )
    assert short_sentence(AVERAGE, LABEL, points=False) == (
        f"{LABEL} wins: +0.443 mean score over 18 paired training seeds, about the settings"
    )
    assert short_sentence(WORSE, LABEL).startswith(
        f"The baseline beats {LABEL}, with pictures judged 44.3 points higher"
    )
    assert "are judged 44.3 points higher than the baseline's on average" in sentence(AVERAGE, LABEL)
    assert "0.024 could have been found" in short_sentence(VERDICTS["nothing found"], LABEL, points=False)


def test_several_sample_seeds_name_pairs_and_prompts() -> None:
    claim = checkpoint_claim(np.stack([BASE + GAIN] * 3, axis=1), np.stack([BASE] * 3, axis=1))
    text = sentence(decide("w", "b", checkpoint=claim), LABEL)
    assert "80 % of 120 picture pairs from 40 fresh prompts" in text
    assert "none of 5 needed runs is done" in text
    assert text.endswith("The winner was chosen on a single training seed.")


def test_equal_pictures_are_said_to_be_equal() -> None:
    text = sentence(decide("w", "b", checkpoint=checkpoint_claim(BASE, BASE)), LABEL)
    assert "every pair differs by 0.0 points" in text


@pytest.mark.parametrize("verdict", VERDICTS.values(), ids=list(VERDICTS))
def test_every_verdict_reads_calmly(verdict: Verdict) -> None:
    long, short = sentence(verdict, LABEL), short_sentence(verdict, LABEL)
    assert long.count(f"**{LABEL}**") == 1 and long.endswith(".")
    assert LABEL in short and "\n" not in short
    assert not re.search(r"[!]|None|nan|\bp = 0\.000|  |\.\.|[+-]0\.0(?!\d)", long + short)
    assert not re.search(r"[*_`]", short)


def test_a_verdict_without_the_claim_it_is_about_is_refused() -> None:
    broken = Verdict.from_dict({**VERDICTS["settings win"].as_dict(), "config": None})
    for write in (sentence, short_sentence):
        with pytest.raises(ValueError, match="lacks the claim"):
            write(broken, LABEL)


def test_how_a_watched_duel_ended_is_said() -> None:
    text = sentence(VERDICTS["decided while watching"], LABEL)
    assert "at least +3.0 points, 95 % sure, decided while watching" in text
    assert "decided while watching: the e-value reached 100 at pair 8 of 12" in text
    assert "the e-value reached 200 at pair 9 of 12" in sentence(VERDICTS["baseline decided"], LABEL)
    hopeless = sentence(VERDICTS["hopeless"], LABEL)
    assert "1 paired training seed differs by -3.0 points on average" in hopeless
    assert "ended after 1 of 5 pairs: whatever the rest had shown, p could no longer have come down to 0.05" in hopeless
    assert "3 of 6 needed runs are done" in sentence(VERDICTS["stopped by hand"], LABEL)
