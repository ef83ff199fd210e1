"""The judge held against a person's votes: how often they agree, whether that is enough, and what it corrects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bracket.domain import Judgement, Preference, Round, mean
from bracket.judges.people.human import aligned, preferences_from_scores
from bracket.judges.people.votes import Vote, matching_pairs, read_votes
from bracket.report.summary import Calibration, Duel
from bracket.session.duel.course import trial_judgements
from bracket.session.store import Store
from bracket.stats.people.agreement import agreement, gate
from bracket.stats.people.correction import FEWEST, Corrected, corrected_rate


def calibrate(folder: Path, store: Store, duel: Duel | None) -> Calibration | None:
    """What the session's votes say of its judge; None without votes on pictures that it judged."""
    votes = read_votes(folder)
    if not votes:
        return None
    known = _judged(store, duel)
    person = [_preference(v, known) for v in votes if v.left in known and v.right in known]
    if not person:
        return None
    both = aligned(preferences_from_scores(known.values(), [(v.a, v.b) for v in person]), person)
    found = agreement(both.judged_where_voted, both.votes)
    corrected = _corrected(person, duel) if duel else None
    pictures = tuple((known[v.a.path], known[v.b.path]) for v in person)
    return Calibration(both.judged_where_voted, both.votes, found, gate(found), corrected, pictures)


def _judged(store: Store, duel: Duel | None) -> Mapping[Path, Judgement]:
    """Everything with a score that may have been voted on, by picture."""
    found = [*duel.winner, *duel.baseline] if duel else []
    for result in store.results(Round.FINALS):
        found += trial_judgements(result)
    return {j.sample.path: j for j in found}


def _preference(vote: Vote, known: Mapping[Path, Judgement]) -> Preference:
    return Preference(known[vote.left].sample, known[vote.right].sample, "human", vote.value)


def _corrected(person: Sequence[Preference], duel: Duel) -> Corrected | None:
    """The winner's share of prompts as the person would see it; a prompt's several seeds are one unit."""
    arms = {"winner": [j.sample for j in duel.winner], "baseline": [j.sample for j in duel.baseline]}
    model = preferences_from_scores([*duel.winner, *duel.baseline], matching_pairs(arms))
    both = aligned(model, person)
    judged: dict[str, list[float]] = defaultdict(list)
    voted: dict[str, list[float]] = defaultdict(list)
    for choice in model:
        judged[choice.a.prompt].append(choice.value)
    for place, vote in zip(both.voted, both.votes, strict=True):
        voted[model[place].a.prompt].append(vote)
    prompts = list(judged)
    places = [i for i, prompt in enumerate(prompts) if prompt in voted]
    if len(places) < FEWEST:
        return None
    shares = [mean(judged[prompt]) for prompt in prompts]
    return corrected_rate(shares, [mean(voted[prompts[i]]) for i in places], places)
