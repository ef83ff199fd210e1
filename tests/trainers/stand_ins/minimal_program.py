"""The trainer that the minimal adapter drives: `python minimal_program.py REQUEST.json` trains or draws.

REQUEST: output, rank, learning_rate, seed, steps, pictures, prompts [{text, seed, negative}], sample_every (0: only at
the end), weights ("" or a checkpoint). It trains `steps` steps or takes the weights, draws each prompt, and leaves
`lora.safetensors`, `loss/` with tfevents and `<step>-<number>.png`. `--fast` is its only flag.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from little_model import Events, Lora


def main(request_file: str, *flags: str) -> int:
    for flag in flags:
        if flag != "--fast":
            raise ValueError(f"there is no flag {flag}")
    request = json.loads(Path(request_file).read_text("utf-8"))
    output = Path(request["output"])
    lora = Lora.fresh(request["rank"])
    if request["weights"]:
        lora.load(Path(request["weights"]))
    elif request["steps"]:
        if not any(Path(picture).is_file() for picture in request["pictures"]):
            raise FileNotFoundError("no picture to train on")
        events = Events(output / "loss")
        for step in range(1, request["steps"] + 1):
            loss = lora.step(request["learning_rate"], request["seed"], step, request["rank"])
            events.add(step, {"train_loss": loss})
            if not math.isfinite(loss):
                print(f"step {step}: loss nan", file=sys.stderr)
            if request["sample_every"] and step % request["sample_every"] == 0:
                _draw(lora, output, request, step)
        lora.save(output / "lora.safetensors", {})
    _draw(lora, output, request, request["steps"])
    return 0


def _draw(lora: Lora, output: Path, request: dict[str, Any], step: int) -> None:
    for number, prompt in enumerate(request["prompts"]):
        lora.draw(output / f"{step}-{number}.png", prompt)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
