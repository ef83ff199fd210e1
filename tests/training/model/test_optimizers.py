from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from bracket.errors import TrainerError
from bracket.training.config.schema import OptimizerSection, TrainSection
from bracket.training.model.optimizers import make_optimizer, make_schedule


def rates(**train: object) -> list[float]:
    settings = TrainSection.model_validate({"steps": 8, **train})
    optimizer = make_optimizer(OptimizerSection(learning_rate=1.0), [torch.nn.Parameter(torch.zeros(1))])
    schedule = make_schedule(settings, optimizer)
    got = []
    for _ in range(settings.steps):
        got.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    return got


def test_schedules_by_hand() -> None:
    assert rates(schedule="constant") == [1.0] * 8
    assert rates(schedule="constant_with_warmup", warmup_steps=4) == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert rates(schedule="linear", warmup_steps=4) == pytest.approx([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25])
    # Half a cosine over the four steps after the warm-up: (1 + cos(pi k / 4)) / 2.
    assert rates(schedule="cosine", warmup_steps=4)[4:] == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)


def test_a_warm_up_that_constant_ignores_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert rates(schedule="constant", warmup_steps=4) == [1.0] * 8
    assert "no effect" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["adamw", "adafactor", "prodigy"])
def test_each_optimizer_learns(name: str) -> None:
    settings = OptimizerSection.model_validate({"name": name, "learning_rate": 1.0 if name == "prodigy" else 0.1})
    weight = torch.nn.Parameter(torch.ones(4, 3))
    if name == "prodigy" and find_spec("prodigyopt") is None:
        with pytest.raises(TrainerError, match="pip install prodigyopt"):
            make_optimizer(settings, [weight])
        return
    optimizer = make_optimizer(settings, [weight])
    for _ in range(60):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
    assert weight.detach().abs().max() < 0.9
