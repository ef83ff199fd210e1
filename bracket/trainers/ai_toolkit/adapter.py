"""AI-Toolkit's adapter: `run.py` with a JSON config of one `diffusion_trainer` process.

A trial with a longer schedule than its own steps is a *rung*: it is laid out in full and stopped after its last update
(`run`, `control`), with its checkpoint, its optimiser's state and its pictures saved there. A
longer trial goes on from copies of these with the same config and schedule, and no step done twice or left out; but
AI-Toolkit keeps neither random numbers nor the order of the data, so both begin anew there. A trial that was killed
goes on from the last checkpoint it made on its way, which AI-Toolkit labels one step too low: that step is done twice.

More pictures of a finished checkpoint come from the same sampler: a run of no steps resumes from the checkpoint, draws,
and is stopped before it saves.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bracket.dataset.splitting import sources_of
from bracket.dataset.writing.dialects import overruled, untold
from bracket.dataset.writing.links import link_pictures
from bracket.domain import Launch, Problem, Prompt, Sample, Trace, Trial
from bracket.errors import BracketError, StorageError
from bracket.files import read_json, write_json
from bracket.homes import Home, checked_home, find_home
from bracket.homes.look import commit_of
from bracket.runner.reading.traces import write_trace
from bracket.trainers.additions import numbers, taken, unknown_samples
from bracket.trainers.ai_toolkit import run as ai_toolkit_run
from bracket.trainers.ai_toolkit.config import (
    DATASETS,
    SAMPLE_KEYS,
    Run,
    additions,
    dataset_entries,
    process,
    searched_options,
    trial_settings,
    write_config,
)
from bracket.trainers.ai_toolkit.control import Stop, make_control
from bracket.trainers.ai_toolkit.keys import NO_CAPTION_CACHE, archs_of, key_problem, unknown_to
from bracket.trainers.ai_toolkit.state import (
    carry_over,
    experts_trained,
    is_whole,
    link_checkpoint,
    of_step,
    remove_broken,
    trained_steps,
)
from bracket.trainers.artefacts import AI_TOOLKIT_TAGS, ai_toolkit_checkpoints, ai_toolkit_samples
from bracket.trainers.base import TRIAL, Job, write_trial
from bracket.trainers.kohya.common import is_prepared
from bracket.trainers.shown import dataset_problems

CHECKPOINTS, CONFIG, CONTROL, PROMPTS = "checkpoints", "config.json", "control.db", "prompts.json"
DRAWN = "drawn"
_SEEDS = 2**32
"""numpy takes no larger seed."""
_PATTERN_SIGNS = "[]*?"
_CACHED = frozenset(
    f"{DATASETS}{key}" for key in ("resolution", "flip_x", "flip_y", "num_frames", "fps", "buckets", "square_crop")
)
"""Dataset settings that the cached files depend on."""
_OF_TRAINING = ("train.optimizer", "train.lr", "train.validation_config")
_DROPOUT = f"{DATASETS}caption_dropout_rate"


class AiToolkitTrainer:
    """Ostris' AI-Toolkit, one trial a launch."""

    name = "ai_toolkit"
    continues = True
    together = False
    title = "AI-Toolkit"

    def check(self, job: Job) -> list[Problem]:
        home, problems = checked_home(self.name)
        problems = [*problems, *_setting_problems(job)]
        if home is None:
            return problems
        lost = untold("ai_toolkit", sources_of(job.dataset), job.dataset.options)
        lost += overruled(sources_of(job.dataset), job.dataset.options, searched_options(job))
        said = (_version_problems(job, home), _text_problems(job), dataset_problems(job), lost)
        return [*problems, *(problem for found in said for problem in found)]

    def prepare(self, job: Job) -> list[Launch]:
        """One run that reads the model and the dataset, caches its pictures and captions, and stops before training.

        AI-Toolkit has no job for that alone. Trials that start together would otherwise write the same files.
        """
        folder = job.folder / "cache"
        settings = _without_training(trial_settings(job))
        variants = _dataset_variants(job, settings)
        sources = link_pictures(job.dataset, job.dataset.train, _pictures(job))
        entries = [entry for v in variants for entry in dataset_entries(job, v, sources)]
        on_disk = settings.get("train.cache_text_embeddings") or any(e.get("cache_latents_to_disk") for e in entries)
        if not on_disk:
            return []
        launches = []
        for variant in variants:
            relevant = {k: v for k, v in variant.items() if k.startswith(("model.", "train.", DATASETS))}
            digest = hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode()).hexdigest()[:12]
            run = Run(f"cache-{digest}", folder / self.name, folder / f"{digest}.db", variant, (), steps=1)
            config, log = folder / f"cache-{digest}.json", folder / f"cache-{digest}.log"
            launch = self._stopped(job, config, run, Stop("cached"), log)
            if not is_prepared(launch, job.dataset.train):
                launches.append(launch)
        return launches

    def launch(self, job: Job, trials: Sequence[Trial]) -> Launch:
        (trial,) = trials
        place = trial.folder / CHECKPOINTS / trial.id
        write_trial(trial)
        write_json(trial.folder / PROMPTS, [vars(p) for p in job.prompts])
        trace = Trace(place / "loss_log.db", AI_TOOLKIT_TAGS)
        write_trace(trial.folder, trace)
        remove_broken(place, trial.id)
        if trial.continues is not None and not ai_toolkit_checkpoints(place, trial.id):
            carry_over(trial.continues / CHECKPOINTS, _trial_in(trial.continues), trial, place)
        rung = trial.schedule > trial.steps
        trained = rung and bool(of_step(place, trial.id, trial.steps))
        run = Run(
            name=trial.id,
            folder=trial.folder / CHECKPOINTS,
            control=trial.folder / CONTROL,
            settings=trial_settings(job, trial),
            prompts=job.prompts,
            seed=trial.seed,
            steps=max(trial.schedule, trial.steps),
            until=trial.steps,
            draws_first=trained,
            saves=job.preset.method != "full",
            validates=True,
        )
        config, log = trial.folder / CONFIG, trial.folder / "logs" / "trainer.log"
        if rung:
            made = self._stopped(job, config, run, _end_of_rung(job, trial, trained), log, place)
        else:
            make_control(run.control, run.name)
            write_config(config, job, run, _pictures(job))
            made = self._launch(job, _command(find_home(self.name), config), run, log)
        return replace(made, trials=(trial,), traces=(trace,), expected_steps=trial.steps)

    def draw(self, job: Job, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Launch:
        trial = _trial_in(checkpoint.parent.parent.parent) if checkpoint else None
        settings = _without_training(trial_settings(job, trial))
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
        if checkpoint:
            link_checkpoint(checkpoint, out / CHECKPOINTS / DRAWN, DRAWN)
        run = Run(DRAWN, out / CHECKPOINTS, out / CONTROL, settings, prompts, draws_first=True)
        write_json(out / PROMPTS, [vars(p) for p in prompts])
        return self._stopped(job, out / CONFIG, run, Stop("drawn"), out.with_name(f"{out.name}.log"))

    def find_checkpoint(self, trial: Trial) -> Path | None:
        """Of a rung, what it saved at its last step; else the final one, if its metadata say that it got there."""
        place = trial.folder / CHECKPOINTS / trial.id
        if trial.schedule > trial.steps:
            found = of_step(place, trial.id, trial.steps)
        else:
            found = [s for s in ai_toolkit_checkpoints(place, trial.id) if s.kind == "final"]
            found = [s for s in found if trained_steps(s.path) in (None, trial.steps)]
        wanted = experts_trained(trial.folder / CONFIG) if any(s.expert for s in found) else {""}
        whole = [s for s in found if is_whole(s.path)]
        return whole[0].path if whole and {s.expert for s in whole} >= wanted else None

    def find_samples(self, trial: Trial) -> list[Sample]:
        return _samples(trial.folder, trial.id)

    def find_drawn(self, out: Path) -> list[Sample]:
        return _samples(out, DRAWN)

    def _stopped(self, job: Job, config: Path, run: Run, stop: Stop, log: Path, place: Path | None = None) -> Launch:
        """The launch of a run that is stopped on its way, and ends with 0 when it came there."""
        home = find_home(self.name)
        make_control(run.control, run.name, stop)
        write_config(config, job, run, _pictures(job))
        # -I: the folder of the launcher is ours, and holds nothing the trainer should import.
        words = [str(home.python), "-I", ai_toolkit_run.__file__, "--db", str(run.control)]
        if place:
            words += ["--saved", str(place / f"{run.name}_{run.until:09d}")]
            words += ["--forget", str(place / "loss_log.db"), str(run.until)]
        return self._launch(job, [*words, "--", *_command(home, config)], run, log)

    def _launch(self, job: Job, argv: Sequence[str], run: Run, log: Path) -> Launch:
        env = {
            "AITK_JOB_ID": run.name,
            "SEED": str(run.seed % _SEEDS),
            "COLUMNS": "1000",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        if job.device == "cpu":
            env["ACCELERATE_USE_CPU"] = "true"
        return Launch(trials=(), argv=tuple(argv), cwd=find_home(self.name).folder, log=log, env=env)


def _command(home: Home, config: Path) -> list[str]:
    # The name makes AI-Toolkit's replacement of [name] in captions and prompts one by itself.
    return [str(home.python), "run.py", str(config.absolute()), "--name", "[name]"]


def _end_of_rung(job: Job, trial: Trial, trained: bool) -> Stop:
    if trained and job.prompts:  # it was killed between its last checkpoint and its last picture
        return Stop("drawn")
    return Stop("drawn" if job.prompts else "saved", trial.steps)


def _pictures(job: Job) -> Path:
    return job.folder / "cache" / "pictures"


def _setting_problems(job: Job) -> list[Problem]:
    """Settings that AI-Toolkit would ignore, or that bracket sets itself."""
    settings = trial_settings(job)
    arch = str(settings.get("model.arch", "")).partition(":")[0]
    meant = {key for knob in job.knobs for each in knob.means.values() for key in each}
    keys = dict.fromkeys([*settings, *meant, *(t for knob in job.knobs for t in knob.targets)])
    said = [key_problem(key, arch) for key in keys if not key.startswith("dataset.")]
    if settings.get("train.cache_text_embeddings") and arch in NO_CAPTION_CACHE:
        said.append(f"AI-Toolkit can't draw with {arch} when train.cache_text_embeddings is on")
    remedy = "Take it out, or correct its name."
    found = [Problem("error", sentence, remedy) for sentence in said if sentence]
    extra = [word.partition("=")[0] for word in job.extra_args]
    found += [*taken(job, (), extra), *unknown_samples(job, SAMPLE_KEYS, "AI-Toolkit"), *numbers(job.sample)]
    for key, value in additions(job.extra_args).items():
        if isinstance(value, float) and not math.isfinite(value):
            found.append(Problem("error", f"{key} can't be {value}", "Write a finite number."))
    for word in job.extra_args:
        if "=" not in word or word.startswith("-"):
            message = f"{word!r} is no setting: AI-Toolkit has a config and no flags"
            found.append(Problem("error", message, "Write it as dotted.key=value, such as train.max_grad_norm=0.5."))
    return found


def _version_problems(job: Job, home: Home) -> list[Problem]:
    """What this checkout doesn't have: a misspelt or unknown model would be loaded as SD 1.5."""
    settings = trial_settings(job)
    arch = str(settings.get("model.arch", "")).partition(":")[0]
    remedy = "Update it: python -m bracket trainers update ai-toolkit."
    found = []
    if arch not in archs_of(home.folder):
        message = f"this AI-Toolkit knows no model {arch!r}, and would take it for SD 1.5"
        found.append(Problem("error", message, remedy, home.folder))
    gone = unknown_to(home.folder, _every_key(job, settings))
    if gone:
        at = (commit_of(home.folder) or "")[:7]
        version = f"this AI-Toolkit ({at})" if at else "this AI-Toolkit"
        message = f"{version} doesn't know {', '.join(gone)}: it is of another version"
        found.append(Problem("error", message, remedy, home.folder))
    return found


def _every_key(job: Job, settings: Mapping[str, object]) -> set[str]:
    """The keys of a trial's config as it is written, and of what knobs and other memory profiles put into one."""
    run = Run("", Path(), Path(), settings, job.prompts[:1], steps=4, until=4, saves=True, validates=True)
    written: Mapping[str, object] = {}
    with suppress(BracketError):  # what a dataset lacks, its own check says
        written = process(job, run, dataset_entries(job, settings, sources_of(job.dataset)))
    blocks = {name: block[0] if isinstance(block, list) and block else block for name, block in written.items()}
    meant = {key for knob in job.knobs for each in knob.means.values() for key in each}
    targets = {target for knob in job.knobs for target in knob.targets}
    profiles = {key for profile in job.preset.vram for key in profile.settings}
    return {*settings, *_dotted(blocks), *meant, *targets, *profiles}


def _dotted(tree: Mapping[str, object], above: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{above}{key}.")


def _text_problems(job: Job) -> list[Problem]:
    found = []
    dashed = [p.text for p in job.prompts if "--" in p.text]
    if dashed:
        message = (
            f"AI-Toolkit takes what follows -- in a prompt for an option, so it is drawn with a dash: {dashed[0]!r}"
        )
        found.append(Problem("warning", message, "Take the dashes out of the prompt."))
    if any(sign in str(job.folder.absolute()) for sign in _PATTERN_SIGNS):
        message = f"AI-Toolkit can't find its own checkpoints below a folder with one of {_PATTERN_SIGNS} in its name"
        found.append(Problem("error", message, "Choose another folder for sessions.", job.folder))
    return found


def _without_training(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings for a run that trains nothing. Its optimiser may not be there; some schedules fail on no steps."""
    return {k: v for k, v in settings.items() if not k.startswith(_OF_TRAINING)}


def _dataset_variants(job: Job, settings: Mapping[str, object]) -> list[dict[str, object]]:
    """The settings with every value of the knobs that change what is cached of the dataset."""
    variants = [dict(settings)]
    for knob in job.knobs:
        targets = [t for t in knob.targets if t in _CACHED]
        if targets:
            variants = [{**v, **dict.fromkeys(targets, choice)} for v in variants for choice in knob.choices]
        elif _DROPOUT in knob.targets:  # the empty caption is cached where any is dropped
            variants = [{**v, _DROPOUT: max(knob.choices, default=0)} for v in variants]
    return variants


def _samples(folder: Path, name: str) -> list[Sample]:
    try:
        prompts = [Prompt(str(p["text"]), int(p["seed"])) for p in read_json(folder / PROMPTS)]
    except StorageError:
        return []
    return ai_toolkit_samples(folder / CHECKPOINTS / name / "samples", prompts)


def _trial_in(folder: Path) -> Trial:
    """The trial that lies in a folder, as far as its settings go."""
    return Trial(**{**read_json(folder / TRIAL), "folder": folder})
