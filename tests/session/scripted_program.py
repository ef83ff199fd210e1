"""A trainer without a model: real process, real event files, real pictures, real safetensors; quality follows the lr.

python scripted_program.py train CONFIG.json | draw REQUEST.json
"""

import hashlib
import json
import math
import os
import random
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def quality(lr: float, seed: int) -> float:
    """0..1, best at 1e-3, with a little noise of the training seed."""
    peak = math.exp(-((math.log10(lr) + 3) ** 2))
    return min(1.0, max(0.0, 0.2 + 0.6 * peak + random.Random(seed).gauss(0, 0.01)))


def draw(out: Path, prompts: list[dict], level: float, step: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "index.jsonl").open("a") as index:
        for i, prompt in enumerate(prompts):
            path = out / f"step-{step:06d}-{i:03d}.png"
            grey = round(255 * min(1.0, max(0.0, level + random.Random(prompt["seed"]).gauss(0, 0.02))))
            image = Image.new("RGB", (8, 8), (grey, i % 256, prompt["seed"] % 256))
            # As of a real model, no two are the same to the last bit.
            image.putpixel((7, 7), tuple(hashlib.sha256(f"{level} {prompt}".encode()).digest()[:3]))
            image.save(path)
            line = {"path": path.name, "prompt": prompt["text"], "seed": prompt["seed"], "step": step}
            index.write(json.dumps(line) + "\n")


def train(config: dict) -> int:
    folder = Path(config["folder"])
    lr, steps = config["lr"], config["steps"]
    if config["fail"]:
        raise RuntimeError("the scripted trainer was told to crash")
    if config.get("memory", 0) > 90:
        raise MemoryError
    if config.get("memory", 0) > 8:
        print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", file=sys.stderr)
        return 1
    if lr > 3e-2:
        print("loss is not finite at step 1", file=sys.stderr)
        return 3
    state = folder / "state.json"
    start = json.loads(state.read_text())["step"] if state.exists() else 0
    (folder / "tfevents").mkdir(parents=True, exist_ok=True)
    with (folder / "tfevents" / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}").open("wb") as file:
        writer = RecordWriter(file)
        for step in range(start + 1, steps + 1):
            time.sleep(config["pace"])
            level = quality(lr, config["seed"])
            values = {
                "loss/train": 1 - level,
                "loss/validation": 1 - level,
                "speed/steps_per_second": 1 / config["pace"],
            }
            event = Event(step=step, wall_time=time.time())
            event.summary.CopyFrom(Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in values.items()]))
            writer.write(event.SerializeToString())
            writer.flush()
            part = state.with_suffix(".part")
            part.write_text(json.dumps({"step": step}))
            part.replace(state)
    with (folder / "starts.txt").open("a") as file:
        file.write(f"{start}\n")
    draw(folder / "samples", config["prompts"], quality(lr, config["seed"]), steps)
    final = folder / "checkpoints" / "final"
    final.mkdir(parents=True, exist_ok=True)
    save_file({"quality": np.array([quality(lr, config["seed"])])}, final / "pytorch_lora_weights.safetensors")
    return 0


def main() -> int:
    data = json.loads(Path(sys.argv[2]).read_text())
    if sys.argv[1] == "train":
        return train(data)
    level = 0.2
    if data["checkpoint"]:
        level = float(load_file(Path(data["checkpoint"]) / "pytorch_lora_weights.safetensors")["quality"][0])
    draw(Path(data["out"]), data["prompts"], level, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
