"""certificate.json: what a verdict rests on, so that anybody can compute it again.

The file holds every judgement of the duel and of the paired runs, the SHA-256 of each judged picture, and the verdict's
numbers. `verify` computes the numbers from the judgements and hashes the pictures that are still there. The seal is a
plain SHA-256 of the content: it shows an edit, it does not stop somebody who writes a new seal.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bracket.domain import Config, Judgement, Outcome, Round, TrialResult, mean
from bracket.errors import CertificateError, StorageError
from bracket.files import read_json, storage_errors, write_json
from bracket.report.scores import matrices
from bracket.report.summary import Pair, Ranked, Summary
from bracket.stats.agreement import agreement, gate
from bracket.stats.claims import checkpoint_claim, config_claim
from bracket.stats.verdict import Verdict, decide
from bracket.stats.wording import short_sentence

FILE = "certificate.json"
VERSION = 2
_REMEDY = "Write it again with `python -m bracket report`, or restore it from a copy."


def build(summary: Summary) -> dict[str, Any]:
    """The certificate of a session as plain data, sealed. Pictures and checkpoints that are there are hashed.

    Raises:
        StorageError: a picture is there but can't be read.
    """
    content: dict[str, Any] = {
        "format": "bracket certificate",
        "version": VERSION,
        "session": summary.name,
        "fingerprint": summary.fingerprint,
        "versions": dict(summary.versions),
        "preset": summary.preset_name,
        "settings": _plain(summary.settings),
        "judge": summary.judge,
        "choosing": _choosing(summary),
        "plan": _plan(summary),
        "duel": _duel(summary),
        "pairs": [_pair(summary, pair) for pair in summary.pairs],
        "checkpoints": {
            side: _checkpoint(result, summary.folder)
            for side, result in zip(("winner", "baseline"), _duelling_runs(summary), strict=True)
        },
        "votes": None
        if summary.calibration is None
        else {
            "judged": list(summary.calibration.judged),
            "voted": list(summary.calibration.voted),
        },
        "sentence": short_sentence(summary.verdict, summary.winner.label if summary.winner else "the winner"),
        "verdict": summary.verdict.as_dict(),
    }
    content["plan_sha256"] = _hash_of(content["plan"])
    return {**content, "seal": _hash_of(content)}


def write(summary: Summary, folder: Path) -> Path:
    """Writes certificate.json into `folder`, whole or not at all. Raises StorageError."""
    path = folder / FILE
    write_json(path, build(summary))
    return path


def verify(path: Path) -> list[str]:
    """Computes the verdict again from the judgements in the file. One sentence per mismatch, [] when it holds.

    Pictures and checkpoints are looked for relative to the session's folder, two levels above the file; those that are
    gone are passed over, as a certificate outlives its pictures.

    Raises:
        CertificateError: the file is missing, damaged, or of another kind or version.
    """
    data = _load(path)
    try:
        return [
            *_check_seal(data),
            *_check_freshness(data),
            *_check_pairs(data),
            *_check_verdict(data),
            *_check_files(data, path.resolve().parent.parent),
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CertificateError(f"the certificate is damaged: {error!r}", path=path, remedy=_REMEDY) from error


def training_seeds(ranked: Ranked | None) -> int:
    """How many training seeds a config was judged on."""
    return len({result.trial.seed for result in ranked.results if result.score is not None}) if ranked else 0


# Building


def _choosing(summary: Summary) -> dict[str, Any]:
    chosen = [r for name in (Round.SEARCH, Round.FINALS) for r in summary.rounds.get(name, ())]
    return {
        "prompts": list(summary.prompts),
        "training_seeds": sorted({result.trial.seed for ranked in chosen for result in ranked.results}),
        "winner_training_seeds": training_seeds(summary.winner),
        "configs": sum(1 for _ in summary.rounds.get(Round.SEARCH, ())),
    }


def _plan(summary: Summary) -> dict[str, Any]:
    """What the confirmation set out to compare, as it was fixed before its first picture; none of it depends on a
    judgement. A session that has none (its winner was the baseline, it ended before) gets what was compared."""
    if summary.plan is not None:
        return dict(summary.plan)
    duel = _in_order(summary, summary.duel.winner) if summary.duel else []
    return {
        "winner": dict(summary.winner.config) if summary.winner else None,
        "baseline": dict(summary.baseline_config),
        "judge": summary.judge,
        "alpha": summary.verdict.alpha,
        "prompts": list(summary.verdict_prompts),
        "pictures": [[j.sample.prompt, j.sample.seed] for j in duel],
        "training_seeds": [pair.seed for pair in summary.pairs],
    }


def _duel(summary: Summary) -> dict[str, Any] | None:
    if summary.duel is None:
        return None
    return {
        side: [_judgement(j, summary.folder) for j in _in_order(summary, judgements)]
        for side, judgements in (("winner", summary.duel.winner), ("baseline", summary.duel.baseline))
    }


def _in_order(summary: Summary, judgements: Sequence[Judgement]) -> list[Judgement]:
    """By prompt as the session lists them, then by seed: flips drawn above 16 prompts depend on the order."""
    places = {prompt: place for place, prompt in enumerate(summary.verdict_prompts)}
    last = len(places)
    return sorted(judgements, key=lambda j: (places.get(j.sample.prompt, last), j.sample.prompt, j.sample.seed))


def _pair(summary: Summary, pair: Pair) -> dict[str, Any]:
    rows = summary.rounds.get(Round.CONFIRMATION, ())
    judged = {
        f"{side}_judgements": [_judgement(j, summary.folder) for j in _of_run(rows, config, pair.seed)]
        for side, config in (
            ("winner", summary.winner.config if summary.winner else {}),
            ("baseline", summary.baseline_config),
        )
    }
    return {"seed": pair.seed, "winner": pair.winner, "baseline": pair.baseline, **judged}


def _of_run(rows: Iterable[Ranked], config: Config, seed: int) -> tuple[Judgement, ...]:
    for ranked in rows:
        for result in ranked.results:
            if result.trial.seed == seed and dict(ranked.config) == dict(config):
                return result.judgements
    return ()


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
    return {"file": name, "sha256": _sha256(path) if path.is_file() else None}


def _sha256(path: Path) -> str:
    with storage_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_of(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Settings as JSON has them: paths and enumerations as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


# Verifying


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CertificateError("there is no certificate here", path=path, remedy=_REMEDY)
    try:
        data = read_json(path)
    except StorageError as error:
        raise CertificateError(f"the certificate can't be read: {error.message}", path=path, remedy=_REMEDY) from error
    if not isinstance(data, dict) or data.get("format") != "bracket certificate":
        raise CertificateError("this file is no bracket certificate", path=path, remedy=_REMEDY)
    if data.get("version") != VERSION:
        raise CertificateError(
            f"this certificate has version {data.get('version')!r}, this bracket reads version {VERSION}",
            path=path,
            remedy="Verify it with the bracket that wrote it.",
        )
    return data


def _check_seal(data: Mapping[str, Any]) -> Iterator[str]:
    content = {key: value for key, value in data.items() if key != "seal"}
    if data["seal"] != _hash_of(content):
        yield "The content was changed after the certificate was sealed."
    if data["plan_sha256"] != _hash_of(data["plan"]):
        yield "The plan of the confirmation was changed after it was hashed."


def _check_freshness(data: Mapping[str, Any]) -> Iterator[str]:
    """Whatever chose the winner may not also prove it."""
    plan, choosing = data["plan"], data["choosing"]
    if used := sorted(set(plan["prompts"]) & set(choosing["prompts"])):
        yield f"The prompt {used[0]!r} took part in choosing the winner, so it can't confirm it."
    if seeds := sorted({pair["seed"] for pair in data["pairs"]} & set(choosing["training_seeds"])):
        yield f"The training seed {seeds[0]} took part in choosing the winner, so it can't confirm it."
    if {pair["seed"] for pair in data["pairs"]} - set(plan["training_seeds"]):
        yield "The paired runs' seeds are not those of the plan."
    for side, judgements in (data["duel"] or {}).items():
        if [[j["prompt"], j["sample_seed"]] for j in judgements] != plan["pictures"] and side == "winner":
            yield "The duel's pictures are not those of the plan."
        if strange := next((j["prompt"] for j in judgements if j["prompt"] not in plan["prompts"]), None):
            yield f"The {side}'s prompt {strange!r} is not one of the prompts kept for the verdict."


def _check_pairs(data: Mapping[str, Any]) -> Iterator[str]:
    for pair in data["pairs"]:
        for side in ("winner", "baseline"):
            scores = [j["score"] for j in pair[f"{side}_judgements"]]
            if scores and not _same(mean(scores), pair[side]):
                given, again = pair[side], mean(scores)
                yield f"Seed {pair['seed']}: the {side}'s mean score is given as {given}, its judgements give {again}."


def _check_verdict(data: Mapping[str, Any]) -> Iterator[str]:
    stored = Verdict.from_dict(data["verdict"])
    checkpoint = config = None
    if stored.checkpoint is not None:
        if data["duel"] is None:
            yield "The verdict speaks of a duel, but the certificate holds no judgements of one."
            return
        sides = ([(j["prompt"], j["sample_seed"], j["score"]) for j in data["duel"][s]] for s in ("winner", "baseline"))
        try:
            ours, theirs = matrices(*sides)
            checkpoint = checkpoint_claim(ours, theirs, alpha=stored.alpha, seed=stored.checkpoint.seed)
        except ValueError as error:
            yield f"The duel can't be computed again: {error}."
            return
    if stored.config is not None:
        if not data["pairs"]:
            yield "The verdict speaks of paired runs, but the certificate holds none."
            return
        config = config_claim([p["winner"] - p["baseline"] for p in data["pairs"]], alpha=stored.alpha)
    gate_ = _gate_again(data)
    again = decide(
        stored.winner,
        stored.baseline,
        checkpoint=checkpoint,
        config=config,
        training_seeds=data["choosing"]["winner_training_seeds"],
        alpha=stored.alpha,
        gate=gate_,
    )
    yield from _differences("verdict", data["verdict"], again.as_dict())


def _gate_again(data: Mapping[str, Any]) -> str:
    """Why the judge may not crown a winner, from the votes in the file; "" when it may."""
    votes = data["votes"]
    if votes is None:
        return ""
    found = gate(agreement(votes["judged"], votes["voted"]))
    return "" if found.may_crown else found.reason


def _differences(place: str, stored: Any, again: Any) -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(again, dict):
        for key, value in stored.items():
            yield from _differences(f"{place}.{key}", value, again.get(key))
    elif not _same(stored, again):
        yield f"The certificate gives {place} as {stored}, its judgements give {again}."


def _same(a: Any, b: Any) -> bool:
    """Equal; numbers up to what another version of the numeric libraries may round differently."""
    if isinstance(a, bool) or isinstance(b, bool) or not isinstance(a, int | float) or not isinstance(b, int | float):
        return bool(a == b)
    return math.isclose(a, b, rel_tol=1e-7, abs_tol=1e-9)


def _check_files(data: Mapping[str, Any], folder: Path) -> Iterator[str]:
    for record in _records(data):
        path = folder / record["file"]
        if record["sha256"] and path.is_file() and _sha256(path) != record["sha256"]:
            yield f"{record['file']} is not the file that was judged: its SHA-256 differs."


def _records(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    groups: list[Sequence[Mapping[str, Any]]] = [*data["checkpoints"].values(), *(data["duel"] or {}).values()]
    groups += [pair[f"{side}_judgements"] for pair in data["pairs"] for side in ("winner", "baseline")]
    for group in groups:
        yield from group
