"""Which knobs mattered, from the ten to thirty configs of one search, and which can't be told from noise."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.record import Record
from bracket.stats.duel.signflip import Floats, as_floats, check_alpha

Value = float | int | str | bool
_RIDGE = 0.5
"""Penalty as a share of a column's own sum of squares: ten configs must not be fitted by a dozen columns."""
_NEGLIGIBLE = 0.1
_MOST = 1_000
"""Configs looked at: more would only make the noise floor smaller than anybody cares for."""
_BATCH = 8_000_000
"""Numbers held at a time."""


@dataclass(frozen=True)
class KnobImportance(Record):
    """How much of the scores' ranking one knob explains.

    Attributes:
        knob: its name.
        share: of the ranking's variance that is lost without this knob, less what pure noise would take; 0..1.
        noise_floor: shares up to here are reached by noise in `alpha` of searches, in any of the knobs together.
        clear: the share lies above the floor. Otherwise a report should say that it can't be told from noise.
        negligible: it explains less than a tenth of the ranking, as far as so many configs can tell. A knob that
            explains more is called so in under 5 % of searches; fewer than about forty configs never call one so.
    """

    knob: str
    share: float
    noise_floor: float
    clear: bool
    negligible: bool


def knob_importance(
    configs: Sequence[Mapping[str, Value]],
    scores: ArrayLike,
    *,
    log: Collection[str] = (),
    alpha: float = 0.05,
    permutations: int = 999,
    seed: int = 0,
) -> list[KnobImportance]:
    """Shares of the score's ranking by knob, largest first; empty for fewer than six configs or when nothing varies.

    Scores become ranks, so that one melted run doesn't decide. A ridge regression on all knobs together, numbers as a
    line and a parabola (on the logarithm for `log`), choices as one column each, explains the ranks; a knob's raw share
    is the explained variance lost when its columns are left out. The same with the knob's values shuffled among configs
    gives what chance would take: its mean is subtracted, and its 1 - alpha/knobs quantile is the noise floor.

    Only main effects are seen, and knobs that always moved together share what they explain. Of more than a thousand
    configs a thousand are drawn with `seed`.

    Args:
        configs: one mapping a config; a knob that a config lacks (it depends on another) counts as average.
        scores: shape (configs,), finite; which direction is better doesn't matter.
        log: names of knobs that live on a logarithmic scale (values > 0).
        permutations: shuffles per knob.

    Raises:
        ValueError: as many scores as configs are wanted, finite; alpha out of range.
    """
    y = as_floats(scores, ndim=1)
    check_alpha(alpha)
    if len(configs) != y.size:
        raise ValueError(f"{len(configs)} configs but {y.size} scores")
    rng = np.random.default_rng(seed)
    if y.size > _MOST:
        drawn = np.sort(rng.choice(y.size, _MOST, replace=False))
        configs, y = [configs[i] for i in drawn], y[drawn]
    blocks = _blocks(configs, log)
    if y.size < 6 or not blocks or np.ptp(y) == 0:
        return []
    ranks = average_ranks(y)
    target = (ranks - ranks.mean()) / np.linalg.norm(ranks - ranks.mean())
    found = [
        _importance(knob, blocks, target, alpha / len(blocks), rng.permuted(_orders(y.size, permutations), axis=1))
        for knob in blocks
    ]
    return sorted(found, key=lambda one: -one.share)


def average_ranks(values: Floats) -> Floats:
    """Ranks from 1, ties sharing the mean of theirs; shape (n,)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def _importance(knob: str, blocks: Mapping[str, Floats], target: Floats, tail: float, orders: Floats) -> KnobImportance:
    rest = [block for name, block in blocks.items() if name != knob]
    others = np.concatenate(rest, axis=1) if rest else np.empty((target.size, 0))
    base = float(_explained(others[None], target)[0])
    raw = float(_explained(np.concatenate([others, blocks[knob]], axis=1)[None], target)[0]) - base
    size = max(1, _BATCH // (target.size * (others.shape[1] + blocks[knob].shape[1])))
    noise = np.concatenate(
        [_noise(others, blocks[knob], target, orders[start : start + size]) for start in range(0, len(orders), size)]
    )
    noise -= base
    usual = float(noise.mean())
    share = min(1.0, max(0.0, raw - usual))
    floor = max(0.0, float(np.quantile(noise, 1 - tail, method="higher")) - usual)
    return KnobImportance(knob, share, min(1.0, floor), share > floor, _upper(share, target.size) <= _NEGLIGIBLE)


def _noise(others: Floats, block: Floats, target: Floats, orders: Floats) -> Floats:
    """What is explained when the knob's rows are in these orders, shape (orders, configs)."""
    repeated = np.broadcast_to(others, (len(orders), *others.shape))
    return _explained(np.concatenate([repeated, block[orders]], axis=2), target)


def _upper(share: float, n: int) -> float:
    """Upper end of a 95 % interval by Fisher's z of the share's root: as a correlation, variance 1/(n - 3)."""
    return float(np.tanh(np.arctanh(min(np.sqrt(share), 0.9999)) + 1.96 / np.sqrt(n - 3)) ** 2)


def _explained(columns: Floats, target: Floats) -> Floats:
    """Share of the target's variance that ridge explains: columns (..., n, p), target (n,) of norm 1, gives (...)."""
    if columns.shape[-1] == 0:
        return np.zeros(columns.shape[0])
    gram = np.swapaxes(columns, -1, -2) @ columns + _RIDGE * target.size * np.eye(columns.shape[-1])
    weights = np.linalg.solve(gram, (target @ columns)[..., None])
    left = target - (columns @ weights)[..., 0]
    share: Floats = 1 - (left**2).sum(axis=-1)
    return share


def _orders(n: int, permutations: int) -> Floats:
    return np.tile(np.arange(n), (permutations, 1))


def _blocks(configs: Sequence[Mapping[str, Value]], log: Collection[str]) -> dict[str, Floats]:
    """Columns of every knob that varies, shape (configs, 1 or more), centred and scaled to variance 1."""
    knobs = dict.fromkeys(name for config in configs for name in config)
    blocks = {name: _columns([config.get(name) for config in configs], name in log) for name in knobs}
    return {name: block for name, block in blocks.items() if block.shape[1]}


def _columns(values: Sequence[Value | None], log: bool) -> Floats:
    known = [value for value in values if value is not None]
    if all(isinstance(value, float | int) and not isinstance(value, bool) for value in known):
        x = np.array([np.nan if value is None else float(value) for value in values])
        x = np.log(x) if log else x
        x = np.nan_to_num(x - np.nanmean(x))
        spread = float(np.abs(x).max()) or 1.0
        parabola = (x / spread) ** 2
        return _scaled(np.stack([x, parabola - _fit_line(x, parabola)], axis=1))
    choices = list(dict.fromkeys(values))
    return _scaled(np.array([[value == choice for choice in choices] for value in values], dtype=np.float64))


def _fit_line(x: Floats, y: Floats) -> Floats:
    fitted: Floats = y.mean() + x * float(x @ (y - y.mean())) / (float(x @ x) or 1.0)
    return fitted


def _scaled(columns: Floats) -> Floats:
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > 1e-9
    scaled: Floats = centred[:, varies] / spread[varies]
    return scaled
