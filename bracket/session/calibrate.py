"""The judge held against a person's votes: how often they agree, whether that is enough, and what it corrects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bracket.domain import Judgement, Round, mean
from bracket.judges.base import preference
from bracket.judges.votes import Vote, read_votes
from bracket.report.summary import Calibration, Duel
from bracket.session.confirm import trial_judgements
from bracket.session.store import Store
from bracket.stats.agreement import agreement, gate
from bracket.stats.correction import FEWEST, Corrected, corrected_rate


def calibrate(folder: Path, store: Store, duel: Duel | None, judge: str) -> Calibration | None:
    """What the session's votes say of its judge; None without votes on pictures that it judged."""
    votes = read_votes(folder)
    if not votes:
        return None
    known = _judged(store, duel)
    pairs = [(known[v.left], known[v.right], v.value) for v in votes if v.left in known and v.right in known]
    if not pairs:
        return None
    judged = tuple(preference(a.sample, b.sample, judge, a.score, b.score).value for a, b, _ in pairs)
    voted = tuple(value for _, _, value in pairs)
    found = agreement(judged, voted)
    return Calibration(judged, voted, found, gate(found), _corrected(votes, duel, judge) if duel else None)


def _judged(store: Store, duel: Duel | None) -> Mapping[Path, Judgement]:
    """Everything with a score that may have been voted on, by picture."""
    found = [*duel.winner, *duel.baseline] if duel else []
    for result in store.results(Round.FINALS):
        found += trial_judgements(result)
    return {j.sample.path: j for j in found}


def _corrected(votes: Sequence[Vote], duel: Duel, judge: str) -> Corrected | None:
    """The winner's share of prompts as the person would see it; a prompt's several seeds are one unit."""
    theirs = {(j.sample.prompt, j.sample.seed): j for j in duel.baseline}
    judged: dict[str, list[float]] = defaultdict(list)
    voted: dict[str, list[float]] = defaultdict(list)
    said = {vote.key: vote for vote in votes}
    for j in duel.winner:
        other = theirs.get((j.sample.prompt, j.sample.seed))
        if other is None:
            continue
        judged[j.sample.prompt].append(preference(j.sample, other.sample, judge, j.score, other.score).value)
        vote = said.get(frozenset((j.sample.path, other.sample.path)))
        if vote is not None:
            voted[j.sample.prompt].append(vote.value if vote.left == j.sample.path else 1 - vote.value)
    prompts = list(judged)
    places = [i for i, prompt in enumerate(prompts) if prompt in voted]
    if len(places) < FEWEST:
        return None
    shares = [mean(judged[prompt]) for prompt in prompts]
    return corrected_rate(shares, [mean(voted[prompts[i]]) for i in places], places)
