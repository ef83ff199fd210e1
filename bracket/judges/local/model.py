"""A vision-language model's weights: loaded once, moved out of a training's way, and asked for tokens."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import psutil

from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges.asking import Question
from bracket.judges.local.check import memory_needed
from bracket.judges.local.input import Inputs, Reader, extended, first_line, make_reader
from bracket.judges.local.options import Spelling, Tokens, spell
from bracket.runner.devices import Device, memory_limit

_SPARE = 4 << 30
"""Bytes of RAM that stay free when weights are parked there: a training needs some."""
_TOP_P = 0.95


class VisionModel:
    """A model in a folder, on a device. Not thread-safe.

    Attributes:
        loads: how often the weights were read.
    """

    def __init__(self, folder: Path, device: Device, quantize: str = "") -> None:
        self.folder, self.device, self.quantize = folder, device, quantize
        self.loads = 0
        self._model: Any = None
        self._reader: Reader | None = None
        self._spelled: dict[tuple[str, ...], Spelling] = {}
        self._parked = False
        self._dtype: Any = None
        self._last: dict[str, int] = {}
        self._context: int | None = None

    def ready(self) -> Reader:
        """Have the weights on their device; how to read questions for them.

        Raises:
            JudgeError: the model can't be loaded.
            JudgeUnavailable: it doesn't fit into the memory that is free now.
        """
        try:
            if self._model is None:
                self._load()
            elif self._parked:
                self._model.to(self.device.id)
            self._parked = False
        except RuntimeError as error:
            self.drop()
            if not out_of_memory(error):
                raise JudgeError(f"the judge's model in {self.folder} can't be used: {first_line(error)}") from error
            need = memory_needed(self.folder, self.device, self.quantize)
            raise JudgeUnavailable(
                f"the judge's model needs about {need:.0f} GB on {self.device.id}, and less is free now",
                remedy="End what else uses the memory, quantise the model, or name a smaller one.",
            ) from error
        assert self._reader is not None
        return self._reader

    def spelling(self, options: tuple[str, ...]) -> Spelling:
        """The options in the model's tokens."""
        if options not in self._spelled:
            tokenizer = self.ready().tokenizer

            def encode(text: str) -> Tokens:
                return tuple(tokenizer.encode(text, add_special_tokens=False))

            self._spelled[options] = spell(options, encode, tokenizer.decode)
        return self._spelled[options]

    def next_chances(self, inputs: Inputs, prefix: Tokens, tokens: Sequence[int]) -> list[dict[int, float]]:
        """For each row, the probability that each of `tokens` comes next after `prefix`.

        Raises:
            JudgeError: the model gives no numbers, or the rows are longer than it can read.
            RuntimeError: out of memory, among others.
        """
        import torch

        length = inputs["input_ids"].shape[1] + len(prefix)
        if self._context and length > self._context:
            what = f"a question of {length} tokens is too long for the judge's model, which takes {self._context}"
            raise JudgeError(
                what, remedy="Shorten the prompts or the rubric, show fewer references, or name another model."
            )
        with torch.inference_mode():
            given = self._here(extended(inputs, prefix))
            logits = self._model(**given, use_cache=False, **self._last).logits[:, -1].float()
            found = logits.log_softmax(-1)[:, list(tokens)].exp().cpu()
        if not bool(found.isfinite().all()):
            raise JudgeError(
                f"the judge's model in {self.folder} answers with what is no number",
                remedy="Its weights or their quantisation are broken: get it anew, or leave the quantisation empty.",
            )
        return [dict(zip(tokens, map(float, row), strict=True)) for row in found]

    def write(self, inputs: Inputs, most: int, seed: int | None) -> str:
        """What the model writes to a single question, `most` tokens at most: the likeliest, or drawn with `seed`."""
        import torch
        from transformers import GenerationConfig

        tokenizer = self.ready().tokenizer
        ends = self._model.generation_config.eos_token_id
        ends = {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}
        chosen = {"do_sample": False} if seed is None else {"do_sample": True, "top_k": 0, "top_p": _TOP_P}
        config = GenerationConfig(
            max_new_tokens=most, eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id, **chosen
        )
        # Drawing uses the global generators: they are put back afterwards.
        devices = [self.device.id] if self.device.kind == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices):
            torch.manual_seed(seed or 0)
            out = self._model.generate(**self._here(inputs), generation_config=config)
        text = tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return str(text).strip()

    def park(self) -> None:
        """Move the weights to RAM, or let go of them where RAM is short or they can't be moved."""
        if self._model is None or self._parked or self.device.kind == "cpu":
            return
        size = sum(p.numel() * p.element_size() for p in self._model.parameters())
        if self._quantised() or spare_memory() - size < _SPARE:
            self.drop()
            return
        self._model.to("cpu")
        self._parked = True
        free_cache()

    def drop(self) -> None:
        """Let go of the weights; `ready` reads them again."""
        self._model, self._parked = None, False
        free_cache()

    def _quantised(self) -> bool:
        return bool(self.quantize) or getattr(self._model, "hf_quantizer", None) is not None

    def _here(self, inputs: Mapping[str, Any]) -> Inputs:
        moved = {name: value.to(self.device.id) for name, value in inputs.items()}
        # Pixels come as float32; ids and masks stay what they are.
        return {name: v.to(self._dtype) if v.is_floating_point() else v for name, v in moved.items()}

    def _load(self) -> None:
        _sleep_at_barriers()
        import torch
        import transformers
        from safetensors import SafetensorError

        if self.device.kind == "cuda" and not torch.cuda.is_available():
            raise JudgeError(
                f"there is a GPU ({self.device.name}), yet this torch can't use it",
                remedy="Install a torch with CUDA, or set the judge's device to cpu.",
            )
        dtype = torch.float32 if self.device.kind == "cpu" else torch.bfloat16
        transformers.utils.logging.disable_progress_bar()
        try:
            model, info = transformers.AutoModelForImageTextToText.from_pretrained(
                self.folder,
                dtype=dtype,
                device_map={"": self.device.id},
                local_files_only=True,
                output_loading_info=True,
                **self._quantisation(),
            )
            reader = make_reader(self.folder, model.config)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, SafetensorError) as error:
            raise JudgeError(
                f"the judge's model in {self.folder} can't be loaded: {first_line(error)}",
                remedy="Get the model anew, or name another one.",
            ) from error
        # What the files lack would be filled with random numbers, and a warning.
        lacking = sorted({*info["missing_keys"], *(str(k[0]) for k in info["mismatched_keys"])})
        if lacking:
            what = f"the weights in {self.folder} lack {len(lacking)} of the model's parts, such as {lacking[0]}"
            raise JudgeError(what, remedy="Get the model whole, or name another one.")
        self._model, self._reader, self._dtype = model.eval(), reader, dtype
        # Logits of every place would take gigabytes; a few models know no other way.
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in signature(model.forward).parameters else {}
        self._context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.loads += 1

    def _quantisation(self) -> dict[str, Any]:
        if not self.quantize:
            return {}
        import torch
        from transformers import BitsAndBytesConfig

        if self.quantize == "8bit":
            return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
        return {"quantization_config": config}


def ask_chances(model: VisionModel, questions: Sequence[Question]) -> list[tuple[dict[str, float] | None, float]]:
    """(chances, coverage) of each question, all of which have the same options; one forward pass for most options."""
    reader = model.ready()
    spelling = model.spelling(questions[0].options)
    inputs = reader.batch(questions)
    after: list[dict[Tokens, dict[int, float]]] = [{} for _ in questions]
    for prefix in spelling.prefixes:
        rows = model.next_chances(inputs, prefix, spelling.tokens_after(prefix))
        for known, row in zip(after, rows, strict=True):
            known[prefix] = row
    return [spelling.chances(known) for known in after]


def out_of_memory(error: BaseException) -> bool:
    """Whether a RuntimeError says that memory ran out, on whichever device."""
    import torch

    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in words or "can't allocate memory" in words


def spare_memory() -> int:
    """Bytes of RAM that this process could still take."""
    own = int(psutil.Process().memory_info().rss)
    return min(int(psutil.virtual_memory().available), memory_limit() - own)


def free_cache() -> None:
    """Give the GPU's memory that nothing holds any more back to other processes."""
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _sleep_at_barriers() -> None:
    """Let OpenMP's threads sleep rather than spin, if torch isn't loaded yet: see `environment.child_env`."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
