from __future__ import annotations

import numpy as np
import pytest

from bracket.judges.embeddings.axes import (
    Line,
    Scale,
    closeness,
    fit_line,
    levels,
    nearest_distance,
    originality,
    variety,
)


def unit(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane at these angles."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def test_a_scale_is_straight_between_its_ends_and_bends_there() -> None:
    read = Scale(0.2, 0.6).read(np.array([0.0, 0.2, 0.24, 0.3, 0.5, 0.6, 0.8]))
    # Ends: 0.1 / e and its mirror image; half a scale beyond: 0.1 e^-6.
    assert read == pytest.approx([0.000248, 0.036788, 0.1, 0.25, 0.75, 0.963212, 0.999752], abs=1e-6)


def test_a_scale_never_turns_back() -> None:
    read = Scale(-0.3, 0.4).read(np.linspace(-1, 1, 500))
    assert (np.diff(read) > 0).all() and read.min() >= 0 and read.max() <= 1


def test_a_scale_of_equal_ends_does_not_blow_up_rounding() -> None:
    low, high = Scale(0.5, 0.5).read(np.array([0.5, 0.5 + 1e-6]))
    assert high - low < 1e-4


def test_a_line_by_hand() -> None:
    line = fit_line(np.array([0.2, 0.6, 0.7]), np.array([0.0, 0.5, 1.0]))
    assert (line.base, line.slope) == pytest.approx((0.25, 0.5))
    assert line.expect(np.array([-1.0, 0.5, 3.0])) == pytest.approx([0.25, 0.5, 0.75])


def test_a_line_is_level_where_captions_say_nothing() -> None:
    same = fit_line(np.array([0.2, 0.6]), np.ones(2))
    against = fit_line(np.array([0.6, 0.2]), np.array([0.0, 1.0]))
    assert [same.base, same.slope, against.base, against.slope] == pytest.approx([0.4, 0, 0.4, 0])


def test_closeness_is_the_mean_cosine_beyond_what_is_expected() -> None:
    line = Line(0.0, 0.5, -1.0, 1.0)
    # Cosines of 1 and 1/2 to the training pictures; the prompt's own to their captions are 0 and 1: expected 0 and 1/2.
    found = closeness(unit(0), unit(90), unit(0, 60), unit(0, 90), line)
    assert found == pytest.approx([0.5], abs=1e-6)


def test_closeness_leaves_out_what_it_is_told() -> None:
    pictures, level = unit(0, 60), Line(0.1, 0.0, 0.0, 0.0)
    assert closeness(pictures, pictures, pictures, pictures, level, np.eye(2, dtype=bool)) == pytest.approx([0.4, 0.4])


def test_levels_of_two_pictures_by_hand() -> None:
    found = levels(unit(0, 60), unit(0, 60), ["a", "b"], unit(90, 90))
    assert (found.adherence.low, found.adherence.high) == pytest.approx((0.5, 1.0))
    # Pictures expect a cosine of 1/2; shuffled ones at 90 degrees have cos 30 and cos 90 to the other picture.
    assert (found.line.base, found.line.slope) == pytest.approx((0.5, 0.0))
    assert (found.likeness.low, found.likeness.high) == pytest.approx((np.sqrt(3) / 4 - 0.5, 0.0), abs=1e-6)
    assert found.near == pytest.approx(0.5)


def test_one_caption_for_all_is_held_against_broken_pictures() -> None:
    found = levels(unit(0, 0), unit(0, 0), ["a", "a"], unit(90, 60))
    assert (found.adherence.low, found.adherence.high) == pytest.approx((0.25, 1.0))


def test_pictures_without_a_caption_have_no_say_in_adherence() -> None:
    found = levels(unit(0, 60, 180), unit(0, 60, 0), ["a", "b", ""], unit(90, 90, 90))
    assert (found.adherence.low, found.adherence.high) == pytest.approx((0.5, 1.0))


def test_a_single_training_picture_gives_levels() -> None:
    found = levels(unit(0), unit(0), ["a"], unit(60))
    assert (found.likeness.low, found.likeness.high) == pytest.approx((-0.5, 0.0))
    assert found.near == 0.0


def test_nearest_distance() -> None:
    assert nearest_distance(unit(0, 60, 180)) == pytest.approx([0.5, 0.5, 1.5])


def test_variety_of_one_prompt_is_held_against_nearest_neighbours() -> None:
    # Distance 1 - cos 60 = 0.5, as much as training neighbours; the third picture is alone with its prompt.
    assert variety(unit(0, 60, 90), ["p", "p", "q"], 0.5) == pytest.approx([1.0, 1.0, np.nan], nan_ok=True)
    # Distances 0.5 (0 to 60), 1 (0 to 90) and 0.133975 (60 to 90).
    among_three = variety(unit(0, 60, 90), ["p", "p", "p"], 0.9)
    assert among_three == pytest.approx(np.array([0.75, 0.316987, 0.566987]) / 0.9, abs=1e-5)


def test_variety_of_equal_pictures_is_0_and_a_lone_picture_has_none() -> None:
    assert variety(unit(30, 30, 30), ["p", "p", "p"], 0.5) == pytest.approx([0, 0, 0], abs=1e-6)
    assert variety(unit(30), ["p"], 0.5) is None


def test_pictures_of_different_prompts_and_a_lone_training_picture_give_no_variety() -> None:
    assert variety(unit(30, 60, 90), ["p", "q", "r"], 0.5) is None
    assert variety(unit(30, 60), ["p", "p"], 0.0) is None


def test_pictures_of_other_drawings_are_not_each_others_like() -> None:
    # Two drawings, mixed: each picture has one like, at 60 and 90 degrees; the fifth is alone in its drawing.
    mixed = variety(unit(0, 0, 60, 90, 5), ["p"] * 5, 0.5, ["a", "b", "a", "b", "c"])
    assert mixed == pytest.approx([1.0, 1.0, 1.0, 1.0, np.nan], nan_ok=True)
    apart = [variety(unit(*angles), ["p", "p"], 2.0) for angles in ((0, 60), (0, 90))]
    both = variety(unit(0, 0, 60, 90), ["p", "p", "p", "p"], 2.0, ["a", "b", "a", "b"])
    assert both is not None
    assert [*both[::2], *both[1::2]] == pytest.approx(np.concatenate(apart))
    assert variety(unit(0, 60), ["p", "p"], 0.5, ["a", "b"]) is None


def test_originality_needs_both_nearness_and_equal_pixels() -> None:
    training = unit(0)
    near, far = unit(1), unit(90)
    same, other = unit(0), unit(60)
    assert originality(near, same, training, same, 0.1) == pytest.approx([0.0])
    assert originality(near, other, training, same, 0.1) == pytest.approx([1.0])
    assert originality(far, same, training, same, 0.1) == pytest.approx([1.0])


def test_originality_falls_between_the_two_correlations() -> None:
    between = unit(np.degrees(np.arccos(0.9865)))
    assert originality(unit(0), between, unit(0), unit(0), 0.1) == pytest.approx([0.5], abs=1e-3)
