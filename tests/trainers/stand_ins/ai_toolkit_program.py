"""A stand-in for Ostris' AI-Toolkit: what `python run.py CONFIG` does with a `diffusion_trainer`, seen from outside.

Made from its sources at 27a03a9 (0.12.26): run.py, toolkit/config.py, DiffusionTrainer.py, BaseSDTrainProcess.run and
logging_aitk.py. It has their order of looking at the control database, saving, drawing and logging, their habit of
ignoring unknown keys, and their exit codes.

What it does not do: train (see `little_model`), read a model, draw at the size asked for, full fine-tunes, clips,
edits, EMA, YAML configs, swallow memory errors.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from little_model import Lora, rate

_OPTIMIZERS = ("adam", "lion", "adagrad", "adafactor", "prodigy", "dadapt", "automagic", "ademamix")
_SCHEDULES = ("cosine", "cosine_with_restarts", "linear", "constant", "constant_with_warmup")
_COURSE = ("network", "train", "model")
_NO_COURSE = ("steps", "validation_config", "skip_first_sample", "force_first_sample", "disable_sampling")
"""Settings of `train` that a training's course does not depend on, or that it follows from by another way."""
_PICTURES = {".png", ".jpg", ".jpeg", ".webp"}
_PICTURE = ("prompt", "seed", "width", "height", "neg", "guidance_scale", "sample_steps", "network_multiplier")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config_file_list", nargs="+")
    parser.add_argument("-r", "--recover", action="store_true")
    parser.add_argument("-n", "--name")
    parser.add_argument("-l", "--log")
    args = parser.parse_args()
    print(f"Running {len(args.config_file_list)} job", flush=True)
    job = None
    try:
        job = _Job(_config(Path(args.config_file_list[0]), args.name))
        job.run()
    except Exception as error:
        print(f"Error running job: {error}")
        if job:
            job.on_error("error", str(error))
        print("\n========================================\nResult:\n - 0 completed jobs\n - 1 failure", flush=True)
        raise
    except KeyboardInterrupt:
        if job:
            job.stopping = False
            job.on_error("stopped", "Job stopped")
        print(
            "\n========================================\nJob stopped\n========================================",
            flush=True,
        )
        sys.exit(0)


def _config(path: Path, name: str | None) -> dict[str, Any]:
    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ValueError(f"Environment variable {match[1]} not set. Please ensure it's defined before proceeding.")
        return os.environ[match[1]]

    config = json.loads(re.sub(r"\$\{([^}]+)\}", value, path.read_text("utf-8")))
    config = json.loads(json.dumps(config).replace("[name]", name or config["config"]["name"]))
    if config["job"] != "extension" or config["config"]["process"][0]["type"] != "diffusion_trainer":
        raise ValueError("Unknown process type")
    return dict(config["config"])


class _Job:
    def __init__(self, config: dict[str, Any]) -> None:
        self.name = str(config["name"])
        self.config = config["process"][0]
        self.root = Path(self.config["training_folder"]) / self.name
        self.train = self.config.get("train", {})
        self.steps = int(self.train.get("steps", 1000))
        self.step = self.start = self.last_save = 0
        self.stopping = False
        self.control = self.config.get("sqlite_db_path", "./aitk_db.db")
        self.id = os.environ.get("AITK_JOB_ID")
        self.lora = Lora.fresh(int(self.config["network"].get("linear", 4)))
        self.logged = False
        print(f"Running job: {self.name}\n{json.dumps(config, indent=2)}", flush=True)
        self._status("Starting")

    def run(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "config.yaml").write_text(json.dumps(self.config, indent=2))
        self._maybe_stop()
        self._status("Loading model")
        self._check()
        self._resume()
        self._maybe_stop()
        self._status("Loading dataset")
        items = self._load_datasets()
        self.last_save = self.step
        self._maybe_stop()
        self._set("step", self.step)
        self._status("Training")
        if self.train.get("skip_first_sample") or self.train.get("disable_sampling"):
            print("Skipping first sample due to config setting")
        elif self.step <= 1 or self.train.get("force_first_sample"):
            print("Generating baseline samples before training")
            self._sample(self.step)
        for index in range(self.step, self.steps):
            self._train_step(index, items)
        print(file=sys.stderr)
        self._save(None)
        if not self.train.get("disable_sampling"):
            self._sample(self.step)
        self._status("Training completed", "completed")

    def on_error(self, status: str, info: str) -> None:
        if not self.stopping:
            self._status(info, status)
        self._set("step", self.last_save)

    def _check(self) -> None:
        optimizer, schedule = str(self.train.get("optimizer", "adamw")), self.train.get("lr_scheduler", "constant")
        if not self.config.get("model", {}).get("name_or_path"):
            raise ValueError("name_or_path must be specified")
        if not optimizer.lower().startswith(_OPTIMIZERS):
            raise ValueError(f"Unknown optimizer type {optimizer}")
        if schedule not in _SCHEDULES:
            raise ValueError("Scheduler must be cosine, cosine_with_restarts, step, linear or constant")

    def _load_datasets(self) -> list[list[object]]:
        items: list[list[object]] = []
        for dataset in self.config["datasets"]:
            folder = Path(dataset["folder_path"])
            if not folder.is_dir():
                raise FileNotFoundError(2, "No such file or directory", str(folder))
            found = sorted(
                p for p in folder.rglob("*") if p.suffix.lower() in _PICTURES and p.parent.name[:1] not in "._"
            )
            assert len(found) > 0, f"no images found in {folder}"
            print(f"Found {len(found)} images")
            for path in found:
                said = path.with_suffix("." + str(dataset.get("caption_ext", "txt")).lstrip("."))
                caption = said.read_text("utf-8") if said.is_file() else dataset.get("default_caption", "")
                items.append([path.name, caption, {k: v for k, v in dataset.items() if k != "folder_path"}])
                if dataset.get("cache_latents_to_disk"):
                    self._cache(folder / "_latent_cache" / f"{path.stem}_{dataset.get('resolution')}.safetensors")
                if self.train.get("cache_text_embeddings"):
                    self._cache(folder / "_t_e_cache" / f"{path.stem}.safetensors")
        return items

    def _cache(self, path: Path) -> None:
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"latents")

    def _resume(self) -> None:
        """From the newest of everything in the folder that begins with the job's name, by the time of its inode."""
        paths = [p for p in self.root.iterdir() if p.name.startswith(self.name)]
        if not paths:
            return
        newest = max(paths, key=lambda p: p.stat().st_ctime)
        print(f"#### IMPORTANT RESUMING FROM {newest} ####")
        self.lora.load(newest)
        with newest.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        self.step = self.start = int(json.loads(header["__metadata__"]["training_info"])["step"])
        if (self.root / "optimizer.pt").is_file():
            import numpy as np

            self.lora.momentum = np.frombuffer((self.root / "optimizer.pt").read_bytes(), np.float32)

    def _train_step(self, index: int, items: list[list[object]]) -> None:
        self.step = index
        schedule = str(self.train.get("lr_scheduler", "constant"))
        lr = rate(schedule, float(self.train.get("lr", 1e-6)), index + 1, self.steps)
        loss = self.lora.step(
            lr, int(self.config.get("training_seed") or time.time_ns()), index + 1, self._course(items)
        )
        if not math.isfinite(loss):
            print("loss is nan", flush=True)
            loss = 0.0
        validation, measured = self.train.get("validation_config") or {}, {}
        if validation and (index == self.start or index % validation.get("validate_every_n_steps", 10) == 0):
            measured = {"val/loss": self.lora.validate()}
        if index != self.start:
            if _divides(self.config.get("save", {}).get("save_every", 1000), index):
                print(f"\nSaving at step {index}")
                self._save(index)
            if _divides(self.config.get("sample", {}).get("sample_every"), index) and not self.train.get(
                "disable_sampling"
            ):
                self._sample(index)
            self._record(index, {"learning_rate": lr, "loss/loss": loss, **measured})
        self._bar(index + 1, f"lr: {lr:.1e} loss: {loss:.3e}")
        self.step = index + 1
        self._set("step", self.step)
        self._maybe_stop()
        if self._asked("save_now"):
            self._set("save_now", 0)
            self._save(self.step)
        if self._asked("sample_now"):
            self._set("sample_now", 0)
            self._sample(self.step)

    def _bar(self, done: int, end: str) -> None:
        drawn = "#" * (10 * done // self.steps)
        share = f"{100 * done // self.steps:3d}%|{drawn:<10}| {done}/{self.steps}"
        text = f"{self.name}: {share} [00:00<00:00,  9.99it/s, {end}]"
        print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def _course(self, items: list[list[object]]) -> object:
        said = {block: self.config.get(block, {}) for block in _COURSE}
        return [{**said, "train": {k: v for k, v in self.train.items() if k not in _NO_COURSE}}, items]

    def _save(self, step: int | None) -> None:
        self._maybe_stop()
        self._status("Saving model")
        if step is not None:
            self.last_save = step
        path = self.root / f"{self.name}{'' if step is None else f'_{step:09d}'}.safetensors"
        info = json.dumps({"step": self.step, "epoch": 0})
        self.lora.save(path, {"training_info": info, "ss_output_name": self.name, "format": "pt"})
        print(f"Saved checkpoint to {path}", flush=True)
        (self.root / "optimizer.pt").write_bytes(self.lora.momentum.tobytes())
        print(f"Saved optimizer to {self.root / 'optimizer.pt'}", flush=True)
        saves = sorted(self.root.glob(f"{self.name}_*.safetensors"), key=lambda p: p.stat().st_ctime)
        for old in saves[: -int(self.config.get("save", {}).get("max_step_saves_to_keep", 5))]:
            old.unlink()
        self._maybe_stop()
        self._status("Training")

    def _sample(self, step: int) -> None:
        self._maybe_stop()
        sample = self.config.get("sample", {})
        items = sample.get("samples", [])
        self._status(f"Generating images - 0/{len(items)}")
        for number, item in enumerate(items):
            name = f"{time.time_ns() // 1_000_000}__{step:09d}_{number}.{sample.get('format', 'jpg')}"
            self.lora.draw(self.root / "samples" / name, {k: item[k] for k in _PICTURE if k in item})
            self._maybe_stop()
            self._status(f"Generating images - {number + 1}/{len(items)}")
        self._maybe_stop()
        self._status("Training")

    def _record(self, step: int, values: dict[str, float]) -> None:
        """Into the log's database, at once: the real one waits up to 0.25 s, which its steps take longer than.

        What an earlier run wrote of later steps is forgotten when this one writes its first.
        """
        with closing(sqlite3.connect(self.root / "loss_log.db", timeout=30, isolation_level=None)) as database:
            database.executescript(_SCHEMA)
            database.execute("BEGIN")
            if not self.logged:
                database.execute("DELETE FROM steps WHERE step > ?", (step,))
            database.execute("INSERT OR REPLACE INTO steps VALUES (?, ?)", (step, time.time()))
            for key, value in values.items():
                database.execute("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, NULL)", (step, key, value))
                database.execute("INSERT OR IGNORE INTO metric_keys VALUES (?, ?, ?)", (key, step, step))
                database.execute("UPDATE metric_keys SET last_seen_step = ? WHERE key = ?", (step, key))
            database.execute("COMMIT")
        self.logged = True

    def _maybe_stop(self) -> None:
        if self._asked("stop"):
            self._status("Job stopped", "stopped")
            self.stopping = True
            raise Exception("Job stopped")

    def _status(self, info: str, status: str = "running") -> None:
        self._update("UPDATE Job SET status = ?, info = ? WHERE id = ?", status, info)

    def _set(self, key: str, value: int) -> None:
        self._update(f"UPDATE Job SET {key} = ? WHERE id = ?", str(value))

    def _asked(self, key: str) -> bool:
        if not self.id or not Path(self.control).exists():
            return False
        with closing(sqlite3.connect(self.control, timeout=30)) as database:
            row = database.execute(f"SELECT {key} FROM Job WHERE id = ?", (self.id,)).fetchone()
        return bool(row and row[0] == 1)

    def _update(self, query: str, *values: str) -> None:
        if not self.id or not Path(self.control).exists():
            return
        with closing(sqlite3.connect(self.control, timeout=30, isolation_level=None)) as database:
            database.execute(query, (*values, self.id))


def _divides(every: int | None, step: int) -> bool:
    return bool(every) and step % int(every or 1) == 0


_SCHEMA = """
    PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON;
    CREATE TABLE IF NOT EXISTS steps (step INTEGER PRIMARY KEY, wall_time REAL NOT NULL);
    CREATE TABLE IF NOT EXISTS metric_keys (key TEXT PRIMARY KEY, first_seen_step INTEGER, last_seen_step INTEGER);
    CREATE TABLE IF NOT EXISTS metrics (step INTEGER NOT NULL, key TEXT NOT NULL, value_real REAL, value_text TEXT,
        PRIMARY KEY (step, key), FOREIGN KEY (step) REFERENCES steps(step) ON DELETE CASCADE);
"""
