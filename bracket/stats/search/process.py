"""A Gaussian process for the few, noisy trials of one search: the smooth behind every curve and map.

Kernel exp(-Σ r²/2·length²) plus a constant plus noise, inputs scaled to 0..1, standardised outputs (Rasmussen and
Williams 2006, chapters 2 and 5). The constant keeps the level free of the standardised mean, of which few points know
little. Lengths and noise are not set to their likeliest values, which with a dozen trials claim far too much: the
process is averaged over a fixed, evenly spread set of them, weighted by marginal likelihood, the signal's variance
maximised in closed form for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bracket.stats.duel.signflip import Floats

MOST = 300
"""Points that one process is fitted to: more cost their cube and add little."""
_LENGTHS = (0.1, 3.0)
_NOISES = (0.003, 3.0)
_SETS = 192
_KEPT = 0.99
"""Share of the weight that is kept for predictions: the many sets that explain nothing are left out."""
_DRAWS = 256
_JITTER = 1e-6
"""Of the signal's variance: keeps the covariance of places that lie close together positive."""
_BATCH = 4_000_000
"""Numbers held at a time."""


@dataclass(frozen=True)
class _Member:
    """One set of lengths and noise: its share, Cholesky factor, whitened outputs and the signal's variance."""

    weight: float
    lengths: Floats
    chol: Floats
    white: Floats
    signal: float


@dataclass(frozen=True)
class Process:
    """A fitted process.

    Attributes:
        x: shape (n, d), scaled to about 0..1.
        centre, scale: of the outputs before they were standardised.
        noise: standard deviation of a single trial about the surface, in the outputs' unit.
    """

    x: Floats
    centre: float
    scale: float
    noise: float
    members: tuple[_Member, ...]

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the noiseless surface; points (m, d) give (m,) and (m,)."""
        mean, square = np.zeros(len(points)), np.zeros(len(points))
        for member in self.members:
            cross = np.linalg.solve(member.chol, _kernel(self.x, points, member.lengths))
            found = member.white @ cross
            variance = member.signal * np.maximum(2.0 - (cross**2).sum(axis=0), 0.0)
            mean += member.weight * found
            square += member.weight * (variance + found**2)
        return self.centre + self.scale * mean, self.scale * np.sqrt(np.maximum(square - mean**2, 0.0))

    def improvement(self, tried: Floats, points: Floats) -> Floats:
        """By how much each of the points (m, d) is expected to lie below the lowest of those tried (n, d), as the
        surface has it (Jones, Schonlau and Welch 1998); (m,)."""
        from scipy.stats import norm

        mean, sd = self.predict(points)
        below = float(self.predict(tried)[0].min()) - mean
        z = below / np.maximum(sd, 1e-12)
        found: Floats = below * norm.cdf(z) + sd * norm.pdf(z)
        return found

    def noisy_improvement(self, tried: Floats, points: Floats, seed: int) -> Floats:
        """The same where nobody knows which of those tried is the lowest: the mean over joint draws of all (Letham et
        al. 2019, doi 10.1214/18-BA1110). What was not measured yet may be among those tried."""
        surfaces = self.draws(np.vstack([tried, points]), _DRAWS, seed)
        lowest = surfaces[:, : len(tried)].min(axis=1, keepdims=True)
        found: Floats = np.maximum(lowest - surfaces[:, len(tried) :], 0.0).mean(axis=0)
        return found

    def draws(self, points: Floats, count: int, seed: int) -> Floats:
        """Surfaces that the trials allow, shape (count, m), each with a set of lengths drawn by its weight."""
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(count, [member.weight for member in self.members])
        found = []
        for member, wanted in zip(self.members, counts, strict=True):
            if not wanted:
                continue
            cross = np.linalg.solve(member.chol, _kernel(self.x, points, member.lengths))
            covariance = _kernel(points, points, member.lengths) - cross.T @ cross
            root = np.linalg.cholesky(covariance + _JITTER * np.eye(len(points)))
            normal = np.sqrt(member.signal) * rng.standard_normal((wanted, len(points)))
            found.append(member.white @ cross + normal @ root.T)
        return self.centre + self.scale * np.concatenate(found)


def fit(x: Floats, y: Floats, *, seed: int = 0) -> Process:
    """Fits a process to points (n, d), scaled to about 0..1, and outputs (n,); n ≥ 2.

    Of more than `MOST` points, so many drawn with `seed` are used.
    """
    if len(y) > MOST:
        kept = np.sort(np.random.default_rng(seed).choice(len(y), MOST, replace=False))
        x, y = x[kept], y[kept]
    centre, scale = float(y.mean()), float(y.std()) or 1.0
    standard = (y - centre) / scale
    sets = _sets(x.shape[1])
    fitted = [one for batch in _batches(sets, len(y)) for one in _members(x, standard, batch)]
    evidence = np.array([likelihood for likelihood, _, _, _ in fitted])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(weights[order]), _KEPT)) + 1]
    share = weights[kept] / weights[kept].sum()
    members = tuple(
        _Member(float(w), sets[i, :-1], fitted[i][1], fitted[i][2], fitted[i][3])
        for w, i in zip(share, kept, strict=True)
    )
    noise = scale * float(np.sqrt(share @ [fitted[i][3] * sets[i, -1] for i in kept]))
    return Process(x, centre, scale, noise, members)


def _members(x: Floats, y: Floats, sets: Floats) -> list[tuple[float, Floats, Floats, float]]:
    """Log marginal likelihood (up to a constant), Cholesky factor, whitened outputs and signal for each set."""
    squares = (x[:, None, :] - x[None, :, :]) ** 2
    near = np.exp(-0.5 * np.einsum("ijd,sd->sij", squares, sets[:, :-1] ** -2.0)) + 1.0
    chols = np.linalg.cholesky(near + sets[:, -1, None, None] * np.eye(len(y)))
    whites = np.linalg.solve(chols, np.broadcast_to(y[:, None], (len(sets), len(y), 1)))[..., 0]
    signals = np.maximum((whites**2).sum(axis=1) / len(y), 1e-12)
    logs = np.log(np.diagonal(chols, axis1=1, axis2=2)).sum(axis=1)
    likelihoods = -0.5 * len(y) * np.log(signals) - logs
    return [(float(a), b, c, float(d)) for a, b, c, d in zip(likelihoods, chols, whites, signals, strict=True)]


def _sets(dimensions: int) -> Floats:
    """Lengths by dimension and noise, log-uniform in their ranges by a Latin hypercube; always the same."""
    rng = np.random.default_rng(0)
    strata = np.stack([rng.permutation(_SETS) for _ in range(dimensions + 1)], axis=1)
    unit = (strata + rng.random(strata.shape)) / _SETS
    low = np.log([_LENGTHS[0]] * dimensions + [_NOISES[0]])
    high = np.log([_LENGTHS[1]] * dimensions + [_NOISES[1]])
    found: Floats = np.exp(low + unit * (high - low))
    return found


def _batches(sets: Floats, n: int) -> Iterator[Floats]:
    size = max(1, _BATCH // (n * n))
    for start in range(0, len(sets), size):
        yield sets[start : start + size]


def _kernel(a: Floats, b: Floats, lengths: Floats) -> Floats:
    squares = ((a[:, None, :] - b[None, :, :]) / lengths) ** 2
    near: Floats = np.exp(-0.5 * squares.sum(axis=-1)) + 1.0
    return near
