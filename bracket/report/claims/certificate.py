"""certificate.json: what a verdict rests on, so that anybody can compute it again.

The file holds every judgement of the duel and of the paired runs, the SHA-256 of each judged picture, how trainings
that left none ended, and the verdict's numbers and words. `verify` computes these from the judgements, under the rules
of the plan. Duels of the settings that were added later are in it too, each with its plan, and are computed again like
the first. `check_pictures` looks for every file by its hash. The seal is a plain SHA-256 of the content: it shows an
edit, it does not stop somebody who writes a new seal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bracket.domain import Judgement, Sample, mean
from bracket.errors import CertificateError, StorageError
from bracket.files import read_json, write_json
from bracket.report.claims.added import weigh
from bracket.report.claims.added_check import addition_again, check_additions, left_out_of, pairs_again
from bracket.report.claims.compare import differences, same
from bracket.report.claims.evidence import SIDES, VERSION, build, hash_of, plain_flips, sha256, training_seeds
from bracket.report.claims.judged_check import KEEPING, check_judged, judgements_of, names_again
from bracket.report.claims.scores import RUNNER_UP, Rules, claims_of, flips_of, kept_of, panel_holds, shares_of
from bracket.report.summary import Duel, Plain, Summary
from bracket.stats.duel.verdict import Verdict
from bracket.stats.duel.wording import short_sentence
from bracket.stats.people.agreement import agreement, gate

__all__ = ["FILE", "VERSION", "build", "check_pictures", "load", "training_seeds", "undamaged", "verify", "write"]

FILE = "certificate.json"
READS = (2, 3, 4, VERSION)
UNWATCHED = 2
"""The version before duels could be watched; its claims are held to the whole of alpha, and it is read still. Version 3
differs from version 4 in its plan alone, which names no edition of the rules and so has the first. Up to version 4
nobody can tell from a certificate whether its words, its labels and who judged what are as they were."""
_REMEDY = "Write it again with `python -m bracket report`, or restore it from a copy."


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
    data = load(path)
    with undamaged(path):
        return [
            *_check_seal(data),
            *_check_freshness(data),
            *_check_pairs([*data["pairs"], *(pair for added in _added(data) for pair in added["pairs"])]),
            *check_additions(data, _added(data)),
            *(check_judged(data, _added(data)) if data["version"] == VERSION else ()),
            *_check_verdict(data),
            *_check_files(data, path.resolve().parent.parent),
        ]


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """What a damaged certificate leads to is a CertificateError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise CertificateError(f"the certificate is damaged: {error!r}", path=path, remedy=_REMEDY) from error


def load(path: Path) -> dict[str, Any]:
    """What the certificate says, unchecked.

    Raises:
        CertificateError: see `verify`.
    """
    if not path.is_file():
        raise CertificateError("there is no certificate here", path=path, remedy=_REMEDY)
    try:
        data = read_json(path)
    except StorageError as error:
        raise CertificateError(f"the certificate can't be read: {error.message}", path=path, remedy=_REMEDY) from error
    if not isinstance(data, dict) or data.get("format") != "bracket certificate":
        raise CertificateError("this file is no bracket certificate", path=path, remedy=_REMEDY)
    if data.get("version") not in READS:
        raise CertificateError(
            f"this certificate has version {data.get('version')!r}, this bracket reads {READS[0]} to {VERSION}",
            path=path,
            remedy="Verify it with the bracket that wrote it.",
        )
    return data


def _check_seal(data: Mapping[str, Any]) -> Iterator[str]:
    content = {key: value for key, value in data.items() if key != "seal"}
    if data["seal"] != hash_of(content):
        yield "The content was changed after the certificate was sealed."
    if data["plan_sha256"] != hash_of(data["plan"]):
        yield "The plan of the confirmation was changed after it was hashed."


def _check_freshness(data: Mapping[str, Any]) -> Iterator[str]:
    """Whatever chose the winner may not also prove it."""
    plan, choosing = data["plan"], data["choosing"]
    fresh = {*plan["prompts"], *(text for text, _ in plan.get("plain", ()))}
    if used := sorted(fresh & set(choosing["prompts"])):
        yield f"The prompt {used[0]!r} took part in choosing the winner, so it can't confirm it."
    if old := sorted({pair["seed"] for pair in data["pairs"]} & set(choosing["training_seeds"])):
        yield f"The training seed {old[0]} took part in choosing the winner, so it can't confirm it."
    seeds = [pair["seed"] for pair in data["pairs"]]
    # Version 2 did not say which seeds were left out.
    left_out = left_out_of(data) if data["version"] != UNWATCHED else set(plan["training_seeds"]) - set(seeds)
    kept = [seed for seed in plan["training_seeds"] if seed not in left_out]
    if seeds != kept[: len(data["pairs"])]:
        yield "The paired runs' seeds are not those of the plan, in its order."
    for side, judgements in (data["duel"] or {}).items():
        drawn, asked = [[j["prompt"], j["sample_seed"]] for j in judgements], plan["pictures"][: len(judgements)]
        if data["version"] != VERSION:  # up to version 4 a prompt's pictures came by seed, whatever the plan's order
            drawn, asked = sorted(drawn), sorted(asked)
        if drawn != asked:
            yield f"The {side}'s pictures in the duel are not those of the plan, in its order."
        if strange := next((j["prompt"] for j in judgements if j["prompt"] not in plan["prompts"]), None):
            yield f"The {side}'s prompt {strange!r} is not one of the prompts kept for the verdict."


def _check_pairs(pairs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    met = [pair.get(RUNNER_UP) is not None for pair in pairs]
    if met != sorted(met, reverse=True):
        yield "The runner-up's paired runs are not the first of the plan."
    for pair in pairs:
        for side in SIDES:
            scores = [j["score"] for j in pair.get(f"{side}_judgements", ())]
            if scores and not same(mean(scores), pair[side]):
                given, again = pair[side], mean(scores)
                yield f"Seed {pair['seed']}: the {side}'s mean score is given as {given}, its judgements give {again}."


def _check_verdict(data: Mapping[str, Any]) -> Iterator[str]:
    stored = Verdict.from_dict(_upgraded(data["verdict"]) if data["version"] == UNWATCHED else data["verdict"])
    if stored.checkpoint is not None and data["duel"] is None:
        yield "The verdict speaks of a duel, but the certificate holds no judgements of one."
        return
    if stored.config is not None and not (data["pairs"] or any(added["pairs"] for added in _added(data))):
        yield "The verdict speaks of paired runs, but the certificate holds none."
        return
    try:
        again = what_follows(data)
    except ValueError as error:
        yield f"The duel can't be computed again: {error}."
        return
    for name, value in again.items():
        yield from differences(name, data[name], value, whole=data["version"] == VERSION)
    duel, shares = _duel_again(data), data.get("shares")
    if duel and shares and not all(panel_holds(j.score, j.axes, shares) for j in (*duel.winner, *duel.baseline)):
        yield "A panel's score in the duel is not its judges' mean by their shares."


def what_follows(data: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict, its sentence and the flips of a certificate, computed from its judgements; earlier versions have
    not all of them.

    Raises:
        ValueError: the judgements don't make a duel.
        KeyError, TypeError, AttributeError: the certificate is damaged.
    """
    version, duel, rules = data["version"], _duel_again(data), _rules(data)
    stored = Verdict.from_dict(_upgraded(data["verdict"]) if version == UNWATCHED else data["verdict"])
    seed = stored.checkpoint.seed if stored.checkpoint else 0
    claims = claims_of(duel, pairs_again(data["pairs"]), rules, seed=seed)
    winner, baseline, label = names_again(data) if version == VERSION else (stored.winner, stored.baseline, "")
    verdict = weigh(
        winner,
        baseline,
        claims,
        [addition_again(added) for added in _added(data)],
        training_seeds=data["choosing"]["winner_training_seeds"],
        alpha=rules.alpha,
        gate=_gate_again(data),
        kept=kept_of(_plain_again(data), data["plan"]),
    )
    found: dict[str, Any] = {"verdict": verdict.as_dict()}
    if version == VERSION:
        found["sentence"] = short_sentence(verdict, label, points="scales" in data)
        found["shares"] = shares_of(duel, data["settings"]) if duel and claims.checkpoint else {}
    if version == VERSION or (duel and version != UNWATCHED):
        both = flips_of(duel, rules, data["shares"], seed=seed) if duel and claims.checkpoint else (None, None)
        found["flips"] = plain_flips(*both)
    return found


def _added(data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The duels of the settings that were added; none before version 4."""
    found: Sequence[Mapping[str, Any]] = data.get("additions", ())
    return found


def _rules(data: Mapping[str, Any]) -> Rules:
    """The plan's; before duels were watched whatever was judged was what had been planned."""
    rules = Rules.of(data["plan"], left_out_of(data))
    if data["version"] != UNWATCHED:
        return rules
    prompts = {j["prompt"] for j in (data["duel"] or {}).get("winner", ())}
    return Rules(len(prompts), len(data["pairs"]), alpha=data["verdict"]["alpha"], live_share=0.0, edition=1)


def _upgraded(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict of version 2 with what it could not have."""
    claims = {name: {**verdict[name], "watched": None} for name in ("checkpoint", "config") if verdict[name]}
    return {**verdict, **claims, "others": []}


def _duel_again(data: Mapping[str, Any]) -> Duel | None:
    if data["duel"] is None:
        return None
    sides = (tuple(_judgement_again(row) for row in data["duel"].get(side, ())) for side in SIDES)
    return Duel(*sides)


def _plain_again(data: Mapping[str, Any]) -> Plain | None:
    rows = data.get("keep")
    return Plain(*(tuple(map(_judgement_again, rows[side])) for side in KEEPING)) if rows else None


def _judgement_again(row: Mapping[str, Any]) -> Judgement:
    axes = {name: math.nan if value is None else value for name, value in row["axes"].items()}
    return Judgement(Sample(Path(row["file"]), row["prompt"], row["sample_seed"], 0), row["judge"], row["score"], axes)


def _gate_again(data: Mapping[str, Any]) -> str:
    """Why the judge may not crown a winner, from the votes in the file; "" when it may."""
    votes = data["votes"]
    if votes is None:
        return ""
    found = gate(agreement(votes["judged"], votes["voted"]))
    return "" if found.may_crown else found.reason


def _check_files(data: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Of the files that are still there."""
    every = (*_records(data), *(file for group in data["checkpoints"].values() for file in group))
    return (said for record in every if record["sha256"] and (said := _differs(record, folder)))


def _records(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every file that the verdict rests on: judged pictures, logs of trainings that left none, a person's votes."""
    yield from judgements_of(data, _added(data))
    if data["version"] != VERSION:
        return
    for duel in (data, *_added(data)):
        for row in (*duel["pairs"], *duel["left_out"]):
            yield from row["ended"].values()
    if votes := data["votes"]:
        yield from (votes, *(j for pair in votes["pictures"] for j in pair))


def check_pictures(path: Path) -> list[str]:
    """Looks for every file that the verdict rests on, by its SHA-256. One sentence per mismatch, [] when all are there.

    Raises:
        CertificateError: as `verify`.
    """
    data, folder = load(path), path.resolve().parent.parent
    if data["version"] != VERSION:
        return [
            f"The certificate is of version {data['version']}, which can't be held to its pictures: write it anew with "
            "`python -m bracket report`."
        ]
    with undamaged(path):
        missing = dict.fromkeys(said for record in _records(data) if (said := _missing(record, folder)))
        return [*_check_copies(data), *missing]


def _check_copies(data: Mapping[str, Any]) -> Iterator[str]:
    """No picture may be judged twice: trainings that draw the same to the last bit are one, or changed nothing. A
    baseline may draw as the base does, since some settings teach nothing; a winner may not."""
    kept = data.get("keep", {"base": (), "winner": ()})
    untrained = {row["sha256"]: row for row in kept["base"] if row["sha256"]}
    first: dict[str, Mapping[str, Any]] = {}
    copies = []
    for row in judgements_of(data, _added(data)):
        if row["sha256"] and row not in kept["base"] and first.setdefault(row["sha256"], row) is not row:
            copies.append((row["file"], first[row["sha256"]]["file"]))
    copies += [(row["file"], untrained[s]["file"]) for row in kept["winner"] if (s := row["sha256"]) in untrained]
    if copies:
        more = f" (and {len(copies) - 1} more like it)" if len(copies) > 1 else ""
        yield (
            f"{copies[0][0]} is the same to the last bit as {copies[0][1]}{more}: copied, or drawn by trainings that "
            "changed nothing."
        )


def _missing(record: Mapping[str, Any], folder: Path) -> str:
    """Why a file can't be held to its hash; "" where it is the one that was judged."""
    if not record["sha256"]:
        return f"{record['file']} has no SHA-256, so nobody can tell whether it is what was judged."
    inside = (folder / record["file"]).resolve().is_relative_to(folder)
    there = inside and (folder / record["file"]).is_file()
    return _differs(record, folder) if there else f"{record['file']} is not in the session's folder."


def _differs(record: Mapping[str, Any], folder: Path) -> str:
    path = folder / record["file"]
    if not path.is_file() or sha256(path) == record["sha256"]:
        return ""
    return f"{record['file']} is not the file that was judged: its SHA-256 differs."
