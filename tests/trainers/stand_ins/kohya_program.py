"""A stand-in for kohya's sd-scripts and musubi-tuner: what one of their LoRA or cache scripts does, seen from outside.

Made from their real parsers (tests/data/kohya-flags), from recorded runs of theirs (tests/data/kohya-runs) and from
their sources: sd-scripts at 48d368f, musubi-tuner 0.3.4. It refuses the flags, dataset keys and combinations that they
refuse, and prints, names, saves, dies and fails to fail as they do.

What it does not do: train (see `little_model`), read a weight file, draw at the size asked for, full fine-tunes, clips,
edits, jsonl files, `--config_file`, epochs in place of steps, `--resume`, `--save_state`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kohya_dataset import Dataset, Item, cache_latents, cache_texts, musubi_items, sd_datasets
from little_model import PACE, Events, Lora, rate

Options = Mapping[str, Mapping[str, Any]]
_NAMES = {
    "config_file", "console_log_file", "dataset_config", "log_prefix", "log_with", "logging_dir", "max_train_steps",
    "network_weights", "output_dir", "output_name", "sample_at_first", "sample_every_n_steps", "sample_prompts", "seed",
    "training_comment", "validate_every_n_epochs", "validate_every_n_steps", "validation_seed",
}  # fmt: skip
"""Options that a training's course does not depend on, or that it follows from by another way."""
_PICTURE = {
    "sd-scripts": ("prompt", "seed", "negative_prompt", "sample_steps", "width", "height", "scale", "sample_sampler"),
    "musubi-tuner": ("prompt", "seed", "negative_prompt", "sample_steps", "width", "height", "cfg_scale",
                     "guidance_scale", "discrete_flow_shift", "frame_count"),
}  # fmt: skip
"""What a prompt of a JSON file may say; anything else is not looked at."""
_LETTERS = {"w": "width", "h": "height", "s": "sample_steps", "d": "seed", "l": "scale", "n": "negative_prompt"}
"""Options of a prompt's line; others are passed over."""
_ATTENTION = ("sdpa", "flash_attn", "flash3", "xformers", "sage_attn")


def main(repo: str, script: str, options: Options) -> None:
    """Runs as `script` of `repo` with this recorded parser."""
    args = _parser(script, options).parse_args()
    name = Path(script).stem
    if "cache_latents" in name:
        _say(repo, script, "Encoding dataset [0]")
        cache_latents(Path(args.dataset_config))
        _say(repo, script, "Done!")
    elif "cache_text" in name:
        cache_texts(Path(args.dataset_config))
        _say(repo, script, "Done!")
    else:
        _Training(repo, script, args).run()


def _parser(script: str, options: Options) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=script)
    for flag, option in options.items():
        action = option.get("action", "Store")
        if action != "Store":
            parser.add_argument(flag, action={"StoreTrue": "store_true", "StoreFalse": "store_false"}[action])
            continue
        kind = _KINDS[option.get("type", "str")]
        kept = {key: option[key] for key in ("nargs", "choices", "required") if option.get(key) is not None}
        parser.add_argument(flag, type=kind, **kept)
    return parser


def _int_or_float(word: str) -> float:
    if word.endswith("%"):
        return float(word[:-1]) / 100
    value = float(word)
    if value >= 1 and value != int(value):
        raise argparse.ArgumentTypeError(f"'{word}' is not an int or float")
    return int(value) if value >= 1 else value


_KINDS: dict[str, Any] = {
    "str": str, "Path": Path, "int": int, "float": float, "int_or_float": _int_or_float, "_int_or_float": _int_or_float,
}  # fmt: skip


def _say(repo: str, module: str, text: str, level: str = "INFO") -> None:
    """A log record on stderr, as musubi's logging and sd-scripts' rich write it."""
    if repo == "musubi-tuner":
        print(f"{level}:musubi_tuner.{Path(module).stem}:{text}", file=sys.stderr, flush=True)
        return
    width = int(os.environ.get("COLUMNS", 80)) - 29
    for start in range(0, len(text), max(20, width - 20)):
        head = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {level:<8} " if not start else " " * 29
        tail = f" {Path(module).name}:1" if not start else ""
        print(f"{head}{text[start : start + max(20, width - 20)]}{tail}", file=sys.stderr, flush=True)


class _Training:
    def __init__(self, repo: str, script: str, args: argparse.Namespace) -> None:
        self.repo, self.script, self.args = repo, script, args
        self.musubi = repo == "musubi-tuner"
        self.checkpoints = Path(args.output_dir or ".")
        self.events: Events | None = None

    def run(self) -> None:
        print("accelerator device: cpu")
        if self.musubi:
            self._check_musubi()
        train, held = self._datasets()
        items = [item for dataset in train for item in dataset.items for _ in range(item.repeats)]
        if not items and not self.musubi:
            text = "No data found. Please verify arguments (train_data_dir must be the parent of folders with images)"
            _say(self.repo, "train_network.py", text, "ERROR")
            return  # with exit code 0, as the real one
        if not items:
            raise ValueError(
                "No training items found in the dataset. Please ensure that the latent/Text Encoder cache has been "
                "created beforehand. / データセットに学習データがありません。"
            )
        self._check_model()
        print(f"import network module: {self.args.network_module}")
        if not self.musubi:
            _cache_of_sd(self.script, self.args, [*train, *held])
        lora = Lora.fresh(self.args.network_dim or 4)
        if self.args.network_weights:
            lora.load(Path(self.args.network_weights))
            _say(
                self.repo,
                "train_network.py",
                f"load network weights from {self.args.network_weights}: <All keys matched>",
            )
        self._train(lora, train, items, bool(held))
        self._save(lora, "", self.args.max_train_steps)
        _say(self.repo, "train_network.py", "model saved.")

    def _datasets(self) -> tuple[list[Dataset], list[Dataset]]:
        text = tomllib.loads(Path(self.args.dataset_config).read_text("utf-8"))
        return (musubi_items(text), []) if self.musubi else sd_datasets(text)

    def _check_musubi(self) -> None:
        if not any(getattr(self.args, name, False) for name in _ATTENTION):
            raise ValueError("either --sdpa, --flash-attn, --flash3, --sage-attn or --xformers must be specified / ...")
        if getattr(self.args, "fp8_scaled", False):
            assert self.args.fp8_base, "fp8_scaled requires fp8_base / fp8_scaledはfp8_baseが必要です"

    def _check_model(self) -> None:
        flag = "dit" if self.musubi else "pretrained_model_name_or_path"
        path = getattr(self.args, flag)
        if path is None or not Path(path).exists():
            if self.musubi:
                raise FileNotFoundError(2, "No such file or directory", path)
            raise ValueError(f'The provided {flag} "{path}" is neither a valid local path nor a valid repo id.')
        if self.args.sample_prompts and self.musubi:
            assert self.args.vae and self.args.text_encoder, "sampling needs --vae and --text_encoder"
        if self.musubi and not self.args.optimizer_type:
            raise AttributeError("module 'torch.optim' has no attribute ''")
        if getattr(self.args, "cache_text_encoder_outputs", False):
            assert self.args.network_train_unet_only, (
                "network for Text Encoder cannot be trained with caching Text Encoder outputs"
            )
        if (self.args.lr_scheduler or "constant") == "constant" and self.args.lr_warmup_steps:
            raise ValueError("SchedulerType.CONSTANT does not require `num_warmup_steps`. Set None or 0.")

    def _train(self, lora: Lora, train: list[Dataset], items: list[Item], validates: bool) -> None:
        args, total = self.args, self.args.max_train_steps
        micro = getattr(args, "gradient_accumulation_steps", None) or 1
        batches = sum(math.ceil(sum(i.repeats for i in d.items) / d.batch_size) for d in train)
        epoch_steps = math.ceil(batches / micro)
        print(f"running training / 学習開始\n  num batches per epoch / 1epochのバッチ数: {batches}")
        print(f"  num epochs / epoch数: {math.ceil(total / epoch_steps)}")
        print(f"  total optimization steps / 学習ステップ数: {total}")
        if args.logging_dir:
            stamp = time.strftime("%Y%m%d%H%M%S", time.localtime())
            self.events = Events(Path(args.logging_dir) / f"{args.log_prefix or ''}{stamp}" / "network_train")
        if args.sample_at_first:
            self._sample(lora, "e000000", 0)
        worker = self._loader()
        settings = self._settings(train)
        seed = time.time_ns() if args.seed is None else args.seed
        losses: list[float] = []
        self._bar(0, total, None)
        for step in range(1, total + 1):
            if (step - 1) % epoch_steps == 0:
                print(f"\nepoch {1 + (step - 1) // epoch_steps}/{math.ceil(total / epoch_steps)}\n", flush=True)
            lr = rate(args.lr_scheduler or "constant", args.learning_rate or 2e-6, step, total)
            loss = lora.step(lr, seed, step, settings)
            losses.append(loss)
            average = sum(losses[-batches:]) / len(losses[-batches:])
            self._bar(step, total, average)
            if args.sample_every_n_steps and step % args.sample_every_n_steps == 0:
                self._sample(lora, f"{step:06d}", step)
            if args.save_every_n_steps and step % args.save_every_n_steps == 0:
                self._save(lora, f"-step{step:08d}", step)
            self._log(step, micro, {"loss/current": loss, "loss/average": average, "lr/unet": lr, **self._rates(lr)})
            if validates and args.validate_every_n_steps and step % args.validate_every_n_steps == 0:
                self._log_validation(step, lora.validate(), loss)
            if step % epoch_steps == 0 or step == total:
                self._end_epoch(lora, math.ceil(step / epoch_steps), step, average)
        self._end(worker)

    def _end_epoch(self, lora: Lora, epoch: int, step: int, average: float) -> None:
        """musubi draws once more where an epoch ends on a step to draw at."""
        if self.events:
            self.events.add(epoch, {"loss/epoch" if self.musubi else "loss/epoch_average": average})
        if self.musubi and self.args.sample_every_n_steps and step % self.args.sample_every_n_steps == 0:
            self._sample(lora, f"e{epoch:06d}", step)

    def _log(self, step: int, micro: int, values: dict[str, float]) -> None:
        """Once for every micro-batch: all but the last come before the step's own number."""
        for batch in range(1, micro + 1):
            if self.events:
                self.events.add(step if batch == micro else step - 1, values)

    def _rates(self, lr: float) -> dict[str, float]:
        """The learning rates of further groups of weights."""
        plus = {"lr/unet plus": lr} if any(w.startswith("loraplus") for w in self.args.network_args or ()) else {}
        if self.musubi:
            return plus
        if self.args.network_train_unet_only:
            return {**plus, "lr/group0": lr}
        return {**plus, "lr/textencoder": lr, "lr/group1": lr}

    def _log_validation(self, step: int, held_out: float, loss: float) -> None:
        if self.events:
            names = ("loss/validation/step_average", "loss/validation/step_divergence")
            self.events.add(step, dict(zip(names, (held_out, held_out - loss), strict=True)))

    def _settings(self, train: list[Dataset]) -> dict[str, object]:
        """All that the training follows from, besides the seed and the learning rate."""
        said = {k: v for k, v in vars(self.args).items() if k not in _NAMES and v not in (None, False)}
        return {**said, "datasets": [[d.said, [[i.path.name, i.caption] for i in d.items]] for d in train]}

    def _loader(self) -> int:
        """A data loader's worker process, where there are any and it may matter: 0 when there is none."""
        if not self.args.max_data_loader_n_workers or not os.environ.get(PACE) or not hasattr(os, "fork"):
            return 0
        child = os.fork()
        while not child:
            time.sleep(60)
        return child

    def _end(self, worker: int) -> None:
        if worker:
            os.kill(worker, 9)
            os.waitpid(worker, 0)
        print(file=sys.stderr)

    def _bar(self, step: int, total: int, average: float | None) -> None:
        share = step / max(1, total)
        drawn = "█" * int(10 * share)
        end = "" if average is None else f", avr_loss={average:.3g}"
        text = f"steps: {100 * share:3.0f}%|{drawn:<10}| {step}/{total} [00:00<00:00,  9.99it/s{end}]"
        print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def _sample(self, lora: Lora, when: str, step: int) -> None:
        if not self.args.sample_prompts:
            return
        _say(self.repo, "train_util.py", f"generating sample images at step / サンプル画像生成 ステップ: {step}")
        for number, prompt in enumerate(_prompts(Path(self.args.sample_prompts))):
            seed = prompt.get("seed")
            name = f"{self.args.output_name}_{when}_{number:02d}_{time.strftime('%Y%m%d%H%M%S')}"
            name += ("" if seed is None else f"_{seed}") + ("_000" if self.musubi else "") + ".png"
            said = {k: prompt[k] for k in _PICTURE[self.repo] if k in prompt}
            lora.draw(self.checkpoints / "sample" / name, said if seed is not None else [said, time.time_ns()])
            print("\rSampling: 100%|##########| 4/4 [00:00<00:00, 41.90it/s]", file=sys.stderr, flush=True)

    def _save(self, lora: Lora, suffix: str, steps: int) -> None:
        path = self.checkpoints / f"{self.args.output_name}{suffix}.safetensors"
        print(f"\nsaving checkpoint: {path}", flush=True)
        metadata = {
            "ss_output_name": self.args.output_name,
            "ss_steps": str(steps),
            "ss_max_train_steps": str(self.args.max_train_steps),
            "ss_learning_rate": str(self.args.learning_rate),
            "ss_network_dim": str(self.args.network_dim),
            "ss_seed": str(self.args.seed),
            "ss_training_started_at": str(time.time()),
        }
        lora.save(path, metadata)


def _prompts(path: Path) -> list[dict[str, Any]]:
    """The prompts of a JSON file, or of a text file, whose lines may end in options."""
    text = path.read_text("utf-8")
    if path.suffix == ".json":
        return list(json.loads(text))
    if path.suffix != ".txt":
        raise UnboundLocalError("cannot access local variable 'prompts' where it is not associated with a value")
    found = []
    for line in (line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")):
        prompt, *options = line.split(" --")
        said = {_LETTERS[name]: value for name, _, value in (o.partition(" ") for o in options) if name in _LETTERS}
        found.append({"prompt": prompt, **said})
    return found


def _cache_of_sd(script: str, args: argparse.Namespace, datasets: list[Dataset]) -> None:
    """sd-scripts' caches beside the pictures; one that is there stays, whatever it was made from."""
    end = "sdxl" if script.startswith("sdxl") else "sd"
    for item in (item for dataset in datasets for item in dataset.items):
        names = {f"{item.path.stem}_{item.size[0]:04d}x{item.size[1]:04d}_{end}.npz": args.cache_latents_to_disk}
        names[f"{item.path.stem}_te_outputs.npz"] = getattr(args, "cache_text_encoder_outputs_to_disk", False)
        for name, wanted in names.items():
            if wanted and not item.path.with_name(name).exists():
                item.path.with_name(name).write_bytes(b"latents")
