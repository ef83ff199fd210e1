from __future__ import annotations

import math

import pytest
import torch

from bracket.training.config.schema import LossSection
from bracket.training.model.losses import (
    draw_sigmas,
    error,
    flow_loss,
    mode_density,
    shift_sigmas,
    sigmas_of,
    weights_of,
)


def test_sigma_runs_down_the_schedulers_thousand_steps() -> None:
    u = torch.tensor([0.0, 0.0004, 0.25, 0.9995, 1.0])
    assert sigmas_of(u).tolist() == pytest.approx([1.0, 1.0, 0.75, 0.001, 0.001], abs=1e-6)


def test_shift_by_hand() -> None:
    # 3 * 0.5 / (1 + 2 * 0.5) = 0.75; 3 * 0.25 / 1.5 = 0.5; the ends stay.
    assert shift_sigmas(torch.tensor([0.0, 0.25, 0.5, 1.0]), 3).tolist() == pytest.approx([0, 0.5, 0.75, 1])


def test_mode_density_by_hand() -> None:
    # v = 1/2, s = 2: 1 - 1/2 - 2 (1/2 - 1 + 1/2) = 1/2; v = 1/3: cos^2(pi/6) = 3/4, 2/3 - 2 (3/4 - 2/3) = 1/2.
    assert mode_density(torch.tensor([0.0, 1 / 3, 0.5, 1.0]), 2).tolist() == pytest.approx([1, 0.5, 0.5, 0])


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [
        ("sigma_sqrt", [1.0, 4.0, 100.0]),
        # 2 / (pi (1 - 2s + 2s^2)): s = 1: 2/pi; s = 1/2: 4/pi; s = 0.001: 2 / (pi 0.998002).
        ("cosmap", [2 / math.pi, 4 / math.pi, 2 / (math.pi * 0.998002)]),
    ],
)
def test_weights_by_hand(weighting: str, expected: list[float]) -> None:
    weights = weights_of(LossSection.model_validate({"weighting": weighting}), torch.tensor([1.0, 0.5, 0.001]))
    assert weights is not None
    assert weights.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("weighting", ["none", "logit_normal", "mode"])
def test_the_other_schemes_only_choose_where_to_look(weighting: str) -> None:
    assert weights_of(LossSection.model_validate({"weighting": weighting}), torch.ones(2)) is None


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("mse", [0.0, 4.0, 0.25]),
        ("l1", [0.0, 2.0, 0.5]),
        # delta 1: 0.5 d^2 inside, |d| - 0.5 outside.
        ("huber", [0.0, 1.5, 0.125]),
        ("logcosh", [0.0, math.log(math.cosh(2.0)), math.log(math.cosh(0.5))]),
    ],
)
def test_errors_by_hand(base: str, expected: list[float]) -> None:
    settings = LossSection.model_validate({"base": base})
    got = error(settings, torch.tensor([1.0, 3.0, -0.5]), torch.tensor([1.0, 1.0, 0.0]))
    assert got.tolist() == pytest.approx(expected, abs=1e-6)


def test_huber_delta_by_hand() -> None:
    # delta 0.5, d = 2: 0.5 (2 - 0.25) = 0.875.
    settings = LossSection(base="huber", huber_delta=0.5)
    assert error(settings, torch.tensor([2.0]), torch.tensor([0.0])).item() == pytest.approx(0.875)


def test_logcosh_stays_finite_far_out() -> None:
    far = error(LossSection(base="logcosh"), torch.tensor([1e4]), torch.tensor([0.0]))
    assert far.item() == pytest.approx(1e4 - math.log(2))


def test_flow_loss_weighs_each_sample_by_its_sigma() -> None:
    prediction, target = torch.zeros(2, 1, 2), torch.tensor([[[1.0, 3.0]], [[2.0, 0.0]]])
    # Errors: sample 0 (1 + 9) / 2 = 5, sample 1 (4 + 0) / 2 = 2.
    sigma = torch.tensor([1.0, 0.5])
    assert flow_loss(LossSection(), prediction, target, sigma).item() == pytest.approx(3.5)
    # sigma_sqrt: weights 1 and 4, (5 + 8) / 2.
    assert flow_loss(LossSection(weighting="sigma_sqrt"), prediction, target, sigma).item() == pytest.approx(6.5)


@pytest.mark.parametrize("weighting", ["none", "sigma_sqrt", "logit_normal", "mode", "cosmap"])
def test_drawn_sigmas_are_noise_levels_of_the_seed(weighting: str) -> None:
    settings = LossSection.model_validate({"weighting": weighting})
    torch.manual_seed(3)
    first = draw_sigmas(settings, 1000)
    torch.manual_seed(3)
    assert torch.equal(first, draw_sigmas(settings, 1000))
    assert first.min() > 0 and first.max() <= 1
    assert abs(first.mean().item() - 0.5) < 0.06


def test_a_positive_logit_mean_is_less_noise_and_a_shift_is_more() -> None:
    torch.manual_seed(0)
    assert draw_sigmas(LossSection(weighting="logit_normal", logit_mean=1.0), 2000).mean() < 0.35
    assert draw_sigmas(LossSection(timestep_shift=3.0), 2000).mean() > 0.6
