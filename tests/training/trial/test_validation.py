from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bracket.training.config.schema import DataSection, LoraSection, ModelSection
from bracket.training.data.cache import Cache
from bracket.training.data.pictures import Item, find_items
from bracket.training.model.klein import Base
from bracket.training.model.lora import add_lora
from bracket.training.trial.validation import Validation


@pytest.fixture
def held_out(model: Path, pictures: Path, cache: Path) -> tuple[Base, list[Item], Cache]:
    base = Base(
        ModelSection(path=str(model), text_length=16, text_layers=(1, 2, 3)), torch.device("cpu"), torch.float32
    )
    items, _ = find_items(DataSection(folder=pictures, resolution=64))
    shared = Cache(cache)
    shared.fill(base, items, [i.caption for i in items])
    return base, items, shared


def test_it_is_fixed_and_neither_order_nor_random_state_changes_it(held_out: tuple[Base, list[Item], Cache]) -> None:
    base, items, cache = held_out
    first = Validation(items, 5, cache, base).loss(base.transformer)
    torch.manual_seed(99)
    assert Validation(items[::-1], 5, cache, base).loss(base.transformer) == pytest.approx(first, rel=1e-12)
    alone = [Validation([i], 5, cache, base).loss(base.transformer) for i in items]
    assert sum(alone) / len(alone) == pytest.approx(first, rel=1e-6)


def test_dropout_is_off_and_the_mode_is_put_back(held_out: tuple[Base, list[Item], Cache]) -> None:
    base, items, cache = held_out
    for parameter in add_lora(base.transformer, LoraSection(rank=2, dropout=0.9), seed=0):
        torch.nn.init.normal_(parameter)
    base.transformer.train()
    validation = Validation(items[:2], 3, cache, base)
    assert validation.loss(base.transformer) == validation.loss(base.transformer)
    assert base.transformer.training


def test_it_is_the_mean_squared_error_of_the_velocity(held_out: tuple[Base, list[Item], Cache]) -> None:
    """A model that predicts 0 everywhere has the mean of (noise - clean)^2."""
    from bracket.training.data.cache import read
    from bracket.training.model.klein import pack
    from bracket.training.trial.validation import _seed

    base, items, cache = held_out

    class Zero(torch.nn.Module):
        def forward(self, hidden_states: torch.Tensor, **_: object) -> tuple[torch.Tensor]:
            return (torch.zeros_like(hidden_states),)

    clean = pack(read(cache.latents(items[0], base))[None])
    noise = torch.randn(4, *clean.shape[1:], generator=torch.Generator().manual_seed(_seed(items[0])))
    expected = (noise - clean).square().mean().item()
    assert Validation(items[:1], 4, cache, base).loss(Zero()) == pytest.approx(expected, rel=1e-6)
