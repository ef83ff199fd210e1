"""A session as its report sees it, built in code: real pictures, real event files, real statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary as Scalars
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from bracket.demo.shapes import Picture, draw
from bracket.domain import Config, Judgement, Knob, Outcome, Round, Sample, Score, Trial, TrialResult
from bracket.report import write_report
from bracket.report.claims.scores import paired_scores
from bracket.report.summary import Duel, Pair, Ranked, Summary
from bracket.report.words import config_label
from bracket.stats.duel.claims import checkpoint_claim, config_claim
from bracket.stats.duel.verdict import Verdict, decide

KNOBS = (
    Knob("learning_rate", "float", "optimizer.learning_rate", 1e-5, 1e-1, log=True, why="Too low learns nothing."),
    Knob("rank", "choice", "lora.rank", choices=(2, 4, 8, 16), why="How much the LoRA can hold."),
)
BASELINE: Config = {"learning_rate": 1e-4, "rank": 8}
WINNER: Config = {"learning_rate": 1e-3, "rank": 8}
LABEL = "lr 1e-3, rank 8"
SETTINGS: dict[str, Any] = {"score": {"sample_weight": 0.7}, "confirmation": {"alpha": 0.05}, "seed": 0}
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")


def quality(config: Config) -> float:
    """Judged score of a config: best at 1e-3, nothing learned below, melted above."""
    return 0.35 + 0.5 * math.exp(-0.5 * (math.log10(float(config["learning_rate"]) / 1e-3) / 0.8) ** 2)


def prompt(i: int, word: str = "zorb") -> str:
    colours = COLOURS[i % 6], COLOURS[(i + 1 + i // 6) % 6]
    return f"a big {colours[0]} {word} on a {colours[1]} background"


@dataclass
class World:
    """Builds summaries in a folder. Scores are drawn from one seeded generator."""

    folder: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))
    prompts: tuple[str, ...] = tuple(prompt(i) for i in range(4))
    verdict_prompts: tuple[str, ...] = tuple(prompt(i, "fresh zorb") for i in range(8))

    def picture(self, path: Path, config: Config, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rate = float(config["learning_rate"])
        words = text.split()
        shape = "circle" if rate < 3e-4 else "star"
        image = draw([Picture(shape, words[2], words[-2], "big", 0.05, 0, 0.72)])[0].astype(float)
        if rate > 2e-2:
            image += self.rng.normal(0, 90, image.shape)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path)
        return path

    def judgements(self, folder: Path, config: Config, texts: Sequence[str], seeds: Sequence[int]) -> list[Judgement]:
        found = []
        for i, text in enumerate(texts):
            for seed in seeds:
                path = self.picture(folder / f"{i:03d}-s{seed}.png", config, text)
                score = float(np.clip(quality(config) + self.rng.normal(0, 0.08), 0, 1))
                axes = {"adherence": score, "likeness": score / 2}
                found.append(Judgement(Sample(path, text, seed, 120), "clip", score, axes))
        return found

    def trial(self, round: Round, number: int, config: Config, seed: int, steps: int, origin: str) -> Trial:
        name = f"{round.value}-{number:03d}"
        return Trial(name, round, origin, config, seed, steps, self.folder / "trials" / name)

    def result(
        self,
        trial: Trial,
        texts: Sequence[str],
        outcome: Outcome = Outcome.OK,
        cause: str = "",
        sample_seeds: Sequence[int] = (100,),
    ) -> TrialResult:
        events(trial.folder / "tfevents", trial.steps, float(trial.config["learning_rate"]), self.rng)
        if outcome is not Outcome.OK:
            return TrialResult(trial, outcome, cause)
        judged = self.judgements(trial.folder / "samples", trial.config, texts, sample_seeds)
        sample_part = 1 - float(np.mean([j.score for j in judged]))
        loss = 0.5 - 0.1 * quality(trial.config)
        score = Score(0.7 * sample_part + 0.3 * loss, loss, sample_part)
        axes = {axis: float(np.mean([j.axes[axis] for j in judged])) for axis in judged[0].axes}
        samples = tuple(j.sample for j in judged)
        return TrialResult(trial, outcome, cause, score, loss, 21.0, samples, tuple(judged), axes)

    def round(
        self,
        round: Round,
        configs: Sequence[tuple[str, Config]],
        seeds: Sequence[int],
        steps: int,
        sample_seeds: Sequence[int] = (100,),
    ) -> list[Ranked]:
        texts = self.verdict_prompts if round is Round.CONFIRMATION else self.prompts
        rows, number = [], 0
        for origin, config in configs:
            results = []
            for seed in seeds:
                trial = self.trial(round, number, config, seed, steps, origin)
                number += 1
                melted = float(config["learning_rate"]) >= 0.09
                cause = "The loss became NaN at step 14\nstep 13 loss 812.4\nstep 14 loss nan" if melted else ""
                outcome = Outcome.DIVERGED if melted else Outcome.OK
                results.append(self.result(trial, texts, outcome, cause, sample_seeds))
            totals = [r.score.total for r in results if r.score]
            total = sum(totals) / len(totals) if totals else None
            rows.append(Ranked(config, config_label(config, {"learning_rate", "rank"}), origin, tuple(results), total))
        return sorted(rows, key=lambda ranked: math.inf if ranked.total is None else ranked.total)

    def summary(self, pairs: int = 5, sample_seeds: Sequence[int] = (500, 501)) -> Summary:
        rates = (1e-5, 6e-5, 3e-4, 2e-3, 5e-3, 4e-2, 1e-1)
        searched = [("baseline", BASELINE), ("curated", WINNER)]
        searched += [("tpe", {"learning_rate": rate, "rank": (2, 4, 16)[i % 3]}) for i, rate in enumerate(rates)]
        search = self.round(Round.SEARCH, searched, [42], 120)
        runner_up: Config = {"learning_rate": 2e-3, "rank": 2}
        finals = self.round(
            Round.FINALS, [("finalist", WINNER), ("finalist", runner_up), ("baseline", BASELINE)], [42, 43], 200
        )
        rounds = {Round.SEARCH: tuple(search), Round.FINALS: tuple(finals)}
        fresh = [1000 + i for i in range(pairs)]
        if pairs:
            arms: list[tuple[str, Config]] = [("winner", WINNER), ("baseline", BASELINE)]
            confirmed = self.round(Round.CONFIRMATION, arms, fresh, 200, sample_seeds)
            rounds[Round.CONFIRMATION] = tuple(confirmed)
        winner, baseline = (next(r for r in finals if r.config == c) for c in (WINNER, BASELINE))
        winner, baseline = self.checkpointed(winner), self.checkpointed(baseline)
        duel = Duel(
            *(
                tuple(self.judgements(self.folder / "confirm" / side, c, self.verdict_prompts, sample_seeds))
                for side, c in (("winner", WINNER), ("baseline", BASELINE))
            )
        )
        paired = tuple(self.pair(rounds[Round.CONFIRMATION], seed) for seed in fresh)
        return Summary(
            name="zorb", folder=self.folder, fingerprint="0123456789abcdef", preset_name="embedded-demo",
            preset_title="Embedded demo", settings=SETTINGS, knobs=KNOBS,
            baseline_config=BASELINE, rounds=rounds, verdict=verdict_of(duel, paired), prompts=self.prompts,
            verdict_prompts=self.verdict_prompts, winner=winner, baseline=baseline, duel=duel, pairs=paired,
            judge="clip 0123456789abcdef",
            command=("python", "-m", "bracket.training", "runs/zorb/winner.yaml", "--set", "train.steps=400"),
            seconds={"prepare": 4.0, "search": 181.0, "finals": 95.0, "confirmation": 133.0},
            dataset={"train": 24, "validation": 8}, warnings=("Only 24 pictures are trained on.",),
            versions={"bracket": "0.1.0", "torch": "2.13.0"},
        )  # fmt: skip

    def checkpointed(self, ranked: Ranked) -> Ranked:
        first, *rest = ranked.results
        folder = first.trial.folder / "checkpoints" / "final"
        folder.mkdir(parents=True)
        (folder / "pytorch_lora_weights.safetensors").write_bytes(ranked.label.encode())
        return replace(ranked, results=(replace(first, checkpoint=folder), *rest))

    def pair(self, rows: Sequence[Ranked], seed: int) -> Pair:
        def mean_of(config: Config) -> float:
            ranked = next(r for r in rows if r.config == config)
            result = next(r for r in ranked.results if r.trial.seed == seed)
            return sum(j.score for j in result.judgements) / len(result.judgements)

        return Pair(seed, mean_of(WINNER), mean_of(BASELINE))


def verdict_of(duel: Duel | None, pairs: Sequence[Pair], training_seeds: int = 2) -> Verdict:
    checkpoint = checkpoint_claim(*paired_scores(duel.winner, duel.baseline)) if duel else None
    config = config_claim([pair.difference for pair in pairs]) if pairs else None
    return decide(LABEL, "baseline", checkpoint=checkpoint, config=config, training_seeds=training_seeds)


def events(folder: Path, steps: int, rate: float, rng: np.random.Generator) -> None:
    """Loss curves as a trainer writes them: falling faster with a higher rate, diverging at the highest."""
    folder.mkdir(parents=True)
    writer = EventFileWriter(str(folder))
    for step in range(1, steps + 1, 4):
        falling = 0.5 - 0.1 * min(1.0, step / steps * rate / 1e-3) + (step * rate if rate > 2e-2 else 0)
        values = {"loss/train": falling + rng.normal(0, 0.02)}
        if step % 20 == 1:
            values["loss/validation"] = falling
        for tag, value in values.items():
            scalar = Scalars(value=[Scalars.Value(tag=tag, simple_value=value)])
            writer.add_event(Event(wall_time=1e9 + step, step=step, summary=scalar))
    writer.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty folder in which summaries can be built."""
    return World(tmp_path / "zorb")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A finished session with its report written; only to be read."""
    summary = World(tmp_path_factory.mktemp("finished") / "zorb").summary()
    write_report(summary, summary.folder / "report")
    return summary


@pytest.fixture(scope="session")
def verdict_for() -> Callable[..., Verdict]:
    """Decides a verdict from a duel and pairs."""
    return verdict_of
