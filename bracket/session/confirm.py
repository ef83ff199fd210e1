"""The duel: winner against baseline on prompts and seeds that took no part in choosing."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bracket.domain import Config, Judgement, Outcome, Prompt, Round, TrialResult, mean
from bracket.errors import JudgeError, TrainerError
from bracket.files import read_json_lines, write_json
from bracket.judges import judgement_from_json
from bracket.report.summary import Duel, Pair
from bracket.runner.devices import Device
from bracket.runner.executor import Handle
from bracket.session.control import stop_asked
from bracket.session.evaluate import JUDGEMENTS, keep_judgements
from bracket.session.job import Context
from bracket.session.judging import patiently
from bracket.session.rounds import POLL_SECONDS, RoundRunner, Stopped, why
from bracket.session.seeds import training_seeds
from bracket.stats import CheckpointClaim, ConfigClaim, checkpoint_claim, config_claim

PLAN = "confirm/plan.json"
"""In a session's folder: what its confirmation compares, fixed before its first picture."""
log = logging.getLogger(__name__)


def fix_plan(runner: RoundRunner, winner: Config) -> None:
    """Write down what the confirmation will compare, before its first picture is drawn; a resume keeps it as it is.

    The certificate holds it and its hash, so that nobody need take on trust that prompts, seeds and pairs were chosen
    before their outcome was known.
    """
    context, path = runner.context, runner.context.folder / PLAN
    if path.exists():
        return
    s, judge = context.settings, runner.judge
    write_json(
        path,
        {
            "winner": dict(winner),
            "baseline": dict(context.baseline),
            "judge": f"{judge.name} {judge.fingerprint}",
            "alpha": s.confirmation.alpha,
            "prompts": list(context.dataset.verdict_prompts),
            "pictures": [[p.text, p.seed] for p in context.verdict_prompts()],
            "training_seeds": training_seeds(s.seed, Round.CONFIRMATION, s.confirmation.pairs),
        },
    )


def draw_duel(runner: RoundRunner, winner: TrialResult, baseline: TrialResult) -> None:
    """Draw and judge the verdict prompts from both checkpoints; pictures that are there are not drawn again.

    Pictures the judge can't give a score (a batch it voided, a question it refused) leave the duel without a claim,
    which the log and the judge's remarks say.

    Raises:
        TrainerError: the trainer's own sampling program failed, with the end of its log.
        JudgeError: the judge can't work at all.
        Stopped: the session was asked to stop.
    """
    folder = runner.context.folder / "confirm"
    prompts = runner.context.verdict_prompts()
    draw(runner, {folder / "winner": winner.checkpoint, folder / "baseline": baseline.checkpoint}, prompts)
    try:
        for name in ("winner", "baseline"):
            _judge(runner, folder / name)
    except JudgeError as error:
        if error.path is None:
            raise
        log.warning("the duel of the two checkpoints stays without a claim: %s", error)


def draw(runner: RoundRunner, wanted: dict[Path, Path | None], prompts: Sequence[Prompt]) -> None:
    """Draw `prompts` into each folder from its checkpoint (None: the bare base), side by side where workers allow."""
    context = runner.context
    left = {out: c for out, c in wanted.items() if len(context.trainer.find_drawn(out)) < len(prompts)}
    queue = list(left.items())
    running: list[tuple[Path, Handle, Device]] = []
    try:
        while queue or running:
            if stop_asked(context.folder):
                raise Stopped
            for device in runner.free_slots([d for _, _, d in running])[: len(queue)]:
                out, checkpoint = queue.pop(0)
                launch = context.trainer.draw(context.verdict_job(), checkpoint, prompts, out)
                running.append((out, runner.executor.submit(launch, device), device))
            for item in [i for i in running if i[1].poll() is not None]:
                running.remove(item)
                _hold_to(context, item[0], len(prompts))
            runner.report()
            time.sleep(POLL_SECONDS)
    finally:
        for _, handle, _ in running:
            handle.stop()


def _hold_to(context: Context, out: Path, wanted: int) -> None:
    if len(context.trainer.find_drawn(out)) < wanted:
        log = out.with_name(f"{out.name}.log")
        raise TrainerError(f"drawing pictures failed: {why(log)}", path=log, remedy="Resume to try again.")


def _judge(runner: RoundRunner, folder: Path) -> None:
    judgements = patiently(lambda: runner.judge.score(runner.context.trainer.find_drawn(folder)), runner)
    keep_judgements(folder, judgements)


def score_matrix(judgements: Sequence[Judgement], prompts: Sequence[Prompt]) -> np.ndarray:
    """Judged scores as (texts, sample seeds per text), in the prompts' order."""
    found = {(j.sample.prompt, j.sample.seed): j.score for j in judgements}
    rows: dict[str, list[float]] = {}
    for prompt in prompts:
        rows.setdefault(prompt.text, []).append(found[prompt.text, prompt.seed])
    return np.array(list(rows.values()), dtype=np.float64)


def claim_of_checkpoints(duel: Duel, prompts: Sequence[Prompt], alpha: float) -> CheckpointClaim:
    return checkpoint_claim(score_matrix(duel.winner, prompts), score_matrix(duel.baseline, prompts), alpha=alpha)


def pairs_of(results: Sequence[TrialResult]) -> tuple[Pair, ...]:
    """Fresh training seeds on which both arms can be told, with each arm's mean judged score.

    An arm that melted counts with the worst score, 0: to leave its seed out would reward settings for melting. What
    ended for reasons that are no fault of its settings (a crash, a stop) leaves its seed out.
    """
    by_seed: dict[int, dict[str, float]] = {}
    for result in results:
        arm = by_seed.setdefault(result.trial.seed, {})
        if result.outcome is Outcome.DIVERGED:
            arm[result.trial.origin] = 0.0
        elif result.score is not None:
            arm[result.trial.origin] = mean([j.score for j in trial_judgements(result)])
    return tuple(Pair(seed, arm["winner"], arm["baseline"]) for seed, arm in sorted(by_seed.items()) if len(arm) == 2)


def claim_of_configs(pairs: Sequence[Pair], alpha: float) -> ConfigClaim | None:
    return config_claim([p.difference for p in pairs], alpha=alpha) if pairs else None


def trial_judgements(result: TrialResult) -> list[Judgement]:
    """What the judge said of a trial's pictures, from its folder."""
    folder = result.trial.folder
    return [judgement_from_json(line, folder) for line in read_json_lines(folder / JUDGEMENTS)]
