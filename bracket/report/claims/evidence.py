"""What a certificate holds, taken from a session's summary, and the leave-one-out flips that the report shows too."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bracket.domain import SCALES, Judgement, Outcome, Round, TrialResult
from bracket.files import storage_errors
from bracket.report.claims.added import tries
from bracket.report.claims.scores import BASELINE, RUNNER_UP, Rules, flips_of, shares_of
from bracket.report.summary import Duel, Pair, Plain, Ranked, Summary
from bracket.stats.duel.flips import Flips
from bracket.stats.duel.sequential import EDITION, LIVE_SHARE
from bracket.stats.duel.wording import short_sentence

VERSION = 5
"""Goes up when certificates hold more, or a claim or a sentence of theirs is made or worded otherwise."""
SIDES = ("winner", BASELINE, RUNNER_UP)
LOG = Path("logs", "trainer.log")
"""In a trial's folder."""
VOTES = "votes.jsonl"
"""In a session's folder, as `judges.people.votes` keeps it."""


def build(summary: Summary) -> dict[str, Any]:
    """The certificate of a session as plain data, sealed. Pictures and checkpoints that are there are hashed.

    Raises:
        StorageError: a picture is there but can't be read.
    """
    content: dict[str, Any] = {
        "format": "bracket certificate",
        "version": VERSION,
        "scales": SCALES,
        "session": summary.name,
        "fingerprint": summary.fingerprint,
        "versions": dict(summary.versions),
        "preset": summary.preset_name,
        "settings": plain(summary.settings),
        "judge": plan_of(summary)["judge"] or summary.judge,
        "choosing": _choosing(summary),
        "plan": plan_of(summary),
        "duel": _duel(summary),
        "pairs": [_pair(summary, pair) for pair in summary.pairs],
        "left_out": _left_out(summary, summary.left_out),
        "checkpoints": {
            side: _checkpoint(result, summary.folder)
            for side, result in zip(("winner", "baseline"), _duelling_runs(summary), strict=True)
        },
        "votes": _votes(summary),
        "sentence": short_sentence(summary.verdict, summary.winner.label if summary.winner else "the winner"),
        "verdict": summary.verdict.as_dict(),
    }
    content["plan_sha256"] = hash_of(content["plan"])
    if summary.additions:
        content |= _additions(summary)
    if summary.plain:
        content["keep"] = _keep(summary.plain, summary.folder)
    shares, by_prompt, by_judge = flips(summary)
    content |= {"shares": shares, "flips": plain_flips(by_prompt, by_judge)}
    return {**content, "seal": hash_of(content)}


def _additions(summary: Summary) -> dict[str, Any]:
    """The duels of the settings that were added, each with its plan, pairs and numbers, and the first one's numbers."""
    first, *later = (None if claim is None else claim.as_dict() for _, claim in tries(summary))
    rows = [
        {
            "plan": dict(addition.plan),
            "plan_sha256": hash_of(addition.plan),
            "pairs": [_pair(summary, pair) for pair in addition.pairs],
            "left_out": _left_out(summary, addition.left_out),
            "claim": claim,
        }
        for addition, claim in zip(summary.additions, later, strict=True)
    ]
    return {"first_claim": first, "additions": rows}


def training_seeds(ranked: Ranked | None) -> int:
    """How many training seeds a config was judged on."""
    return len({result.trial.seed for result in ranked.results if result.score is not None}) if ranked else 0


def _choosing(summary: Summary) -> dict[str, Any]:
    chosen = [r for name in (Round.SEARCH, Round.FINALS) for r in summary.rounds.get(name, ())]
    return {
        "prompts": list(summary.prompts),
        "training_seeds": sorted({result.trial.seed for ranked in chosen for result in ranked.results}),
        "winner_training_seeds": training_seeds(summary.winner),
        "configs": sum(1 for _ in summary.rounds.get(Round.SEARCH, ())),
        "finals": [dict(ranked.config) for ranked in summary.rounds.get(Round.FINALS, ())],
    }


def plan_of(summary: Summary) -> dict[str, Any]:
    """What the confirmation set out to compare, as it was fixed before its first picture; none of it depends on a
    judgement. A session that has none (its winner was the baseline, it ended before) gets what was compared."""
    if summary.plan is not None:
        return dict(summary.plan)
    duel = _in_order(summary, summary.duel.winner) if summary.duel else []
    named = any(pair.runner_up is not None for pair in summary.pairs) or (summary.duel and summary.duel.runner_up)
    return {
        "winner": dict(summary.winner.config) if summary.winner else None,
        "baseline": dict(summary.baseline_config),
        "judge": summary.judge,
        "alpha": summary.verdict.alpha,
        "prompts": list(summary.verdict_prompts),
        "pictures": [[j.sample.prompt, j.sample.seed] for j in duel],
        "training_seeds": [pair.seed for pair in summary.pairs],
        "comparisons": [BASELINE, RUNNER_UP] if named else [BASELINE],
        "live_share": LIVE_SHARE,
        "edition": EDITION,
    }


def flips(summary: Summary) -> tuple[dict[str, float], Flips | None, Flips | None]:
    """What each judge of a panel counts, and which prompts and judges carry the claim about the two files alone.

    None for prompts without that claim, and for judges when there is but one.
    """
    if summary.duel is None or summary.verdict.checkpoint is None:
        return {}, None, None
    duel = Duel(*(tuple(_in_order(summary, side)) for side in (summary.duel.winner, summary.duel.baseline)))
    shares = shares_of(duel, summary.settings)
    rules = Rules.of(plan_of(summary), summary.left_out)
    return shares, *flips_of(duel, rules, shares, seed=summary.verdict.checkpoint.seed)


def plain_flips(by_prompt: Flips | None, by_judge: Flips | None) -> dict[str, Any]:
    """Leave-one-out results as the certificate has them."""
    return {name: found.as_dict() if found else None for name, found in (("prompts", by_prompt), ("judges", by_judge))}


def _duel(summary: Summary) -> dict[str, Any] | None:
    if summary.duel is None:
        return None
    sides = zip(SIDES, (summary.duel.winner, summary.duel.baseline, summary.duel.runner_up), strict=True)
    return {
        side: [_judgement(j, summary.folder) for j in _in_order(summary, judgements)]
        for side, judgements in sides
        if judgements or side != RUNNER_UP
    }


def _keep(plain: Plain, folder: Path) -> dict[str, Any]:
    """What shows how much is kept; pictures of the duel are in it again."""
    return {side: [_judgement(j, folder) for j in rows] for side, rows in vars(plain).items()}


def _in_order(summary: Summary, judgements: Sequence[Judgement]) -> list[Judgement]:
    """As the plan draws them; without a plan by prompt as the session lists them, then by seed: flips drawn above 16
    prompts depend on the order."""
    pictures = {(text, seed): place for place, (text, seed) in enumerate((summary.plan or {}).get("pictures", ()))}
    prompts = {prompt: place for place, prompt in enumerate(summary.verdict_prompts)}

    def place(judgement: Judgement) -> tuple[int, int, str, int]:
        text, seed = judgement.sample.prompt, judgement.sample.seed
        return pictures.get((text, seed), len(pictures)), prompts.get(text, len(prompts)), text, seed

    return sorted(judgements, key=place)


def _pair(summary: Summary, pair: Pair) -> dict[str, Any]:
    scores = {"winner": pair.winner, BASELINE: pair.baseline}
    if pair.runner_up is not None:
        scores[RUNNER_UP] = pair.runner_up
    runs = {side: run for side, run in runs_of(summary, pair.seed).items() if side in scores}
    judged = {
        f"{side}_judgements": [_judgement(j, summary.folder) for j in runs[side].judgements] if side in runs else []
        for side in scores
    }
    lost = {"lost": list(pair.lost)} if pair.lost else {}
    return {"seed": pair.seed, **scores, **judged, **lost, "ended": _ended(summary, runs)}


def runs_of(summary: Summary, seed: int) -> dict[str, TrialResult]:
    """The duel's fresh trainings with this seed, by whose settings they have."""
    configs = {"winner": summary.winner, BASELINE: summary.baseline_config, RUNNER_UP: summary.runner_up}
    found: dict[str, TrialResult] = {}
    for side, asked in configs.items():
        config = asked.config if isinstance(asked, Ranked) else asked
        for ranked in summary.rounds.get(Round.CONFIRMATION, ()):
            if config is not None and dict(ranked.config) == dict(config):
                found.update((side, result) for result in ranked.results if result.trial.seed == seed)
    return found


def _left_out(summary: Summary, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The planned seeds without a pair, each with how its trainings ended."""
    return [{"seed": seed, "ended": _ended(summary, runs_of(summary, seed))} for seed in seeds]


def _ended(summary: Summary, runs: Mapping[str, TrialResult]) -> dict[str, Any]:
    """How trainings ended that did not end well, with the log that shows it."""
    return {
        side: {
            "outcome": run.outcome.value,
            "cause": run.cause,
            **_hashed(run.trial.folder / LOG, summary.folder),
        }
        for side, run in runs.items()
        if run.outcome is not Outcome.OK
    }


def _votes(summary: Summary) -> dict[str, Any] | None:
    """A person's votes beside the judge's choices on the same pictures, and the file they were kept in."""
    found = summary.calibration
    if found is None:
        return None
    pictures = [[_judgement(j, summary.folder) for j in pair] for pair in found.pictures]
    kept = _hashed(summary.folder / VOTES, summary.folder)
    return {**kept, "judged": list(found.judged), "voted": list(found.voted), "pictures": pictures}


def _judgement(judgement: Judgement, folder: Path) -> dict[str, Any]:
    sample = judgement.sample
    return {
        "prompt": sample.prompt,
        "sample_seed": sample.seed,
        "judge": judgement.judge,
        "score": judgement.score,
        # JSON has no NaN; an axis may be undefined where the score is not.
        "axes": {axis: value if math.isfinite(value) else None for axis, value in judgement.axes.items()},
        **_hashed(sample.path, folder),
    }


def _duelling_runs(summary: Summary) -> tuple[TrialResult | None, TrialResult | None]:
    """The trials whose checkpoints drew the duel: of the first training seed on which both ended well."""
    ours, theirs = (
        {r.trial.seed: r for r in ranked.results if r.outcome is Outcome.OK} if ranked else {}
        for ranked in (summary.winner, summary.baseline)
    )
    seed = min(set(ours) & set(theirs), default=None)
    return (None, None) if seed is None else (ours[seed], theirs[seed])


def _checkpoint(result: TrialResult | None, folder: Path) -> list[dict[str, Any]]:
    path = result.checkpoint if result else None
    if path is None:
        return []
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    return [_hashed(file, folder) for file in files if file.is_file()]


def _hashed(path: Path, folder: Path) -> dict[str, Any]:
    inside = path.is_relative_to(folder)
    name = path.relative_to(folder).as_posix() if inside else path.name
    return {"file": name, "sha256": sha256(path) if path.is_file() else None}


def sha256(path: Path) -> str:
    """Of a file, as hex. Raises StorageError."""
    with storage_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of(value: object) -> str:
    """SHA-256 of plain data, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plain(value: Any) -> Any:
    """Settings as JSON has them: paths and enumerations as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
