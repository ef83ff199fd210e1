"""Questions as a model's input: chat template, pictures within a pixel budget, padding on the left.

Qwen's models are read without their processor classes, which need torchvision though no video is asked about: the PIL
image processor and the tokenizer do the same, bit for bit. Other models come through their own processor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from bracket.errors import JudgeError
from bracket.judges.asking import Question
from bracket.judges.images import open_image
from bracket.reading import from_json, read_text

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe")
"""Model types whose pictures are read by Qwen2-VL's image processor."""
TOKENS_A_PICTURE = 1024
"""A picture of 1024×1024 pixels for patches of 32, which is how most samples are drawn."""
TOKENS_A_QUESTION = 4096
_FALLBACK = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}{% if c.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{{ '<|im_start|>assistant\n' }}"
)
"""Qwen's chat format, for folders whose template is missing or knows no pictures."""

Inputs = dict[str, Any]
"""What a forward pass takes: tensors by name, `input_ids` (N, L) among them."""


class Reader(Protocol):
    """Turns questions into a model's input."""

    @property
    def tokenizer(self) -> Any: ...

    def batch(self, questions: Sequence[Question]) -> Inputs:
        """One row a question, padded on the left, on the CPU.

        Raises:
            JudgeError: a picture can't be read; `path` names it.
        """
        ...


def make_reader(folder: Path, config: Any) -> Reader:
    """The reader for a model, `config` being its loaded configuration."""
    return QwenReader(folder, config) if config.model_type in QWEN else ProcessorReader(folder)


class QwenReader:
    """Qwen2-VL's picture patches and its kin's, without a processor class."""

    def __init__(self, folder: Path, config: Any) -> None:
        import transformers

        # Named after its backend since transformers 5.1; before, the plain name had no need of torchvision.
        kind = getattr(transformers, "Qwen2VLImageProcessorPil", None) or transformers.Qwen2VLImageProcessor
        self._images: Any = kind.from_pretrained(folder, local_files_only=True)
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._side = int(self._images.patch_size * self._images.merge_size)
        self._image_token = int(config.image_token_id)
        self._mark = str(self.tokenizer.convert_ids_to_tokens(self._image_token))
        self._defuse = Defuser(self.tokenizer)
        self._template = self._find_template(folder)

    def batch(self, questions: Sequence[Question]) -> Inputs:
        """See `Reader.batch`; pictures as `pixel_values` (patches, values) and `image_grid_thw` (pictures, 3)."""
        pictures = [open_small(p, self._side, budget(q, self._side)) for q in questions for p in q.images]
        vision = self._see(pictures) if pictures else {}
        counts = iter([int(g.prod()) // self._images.merge_size**2 for g in vision.get("image_grid_thw", ())])
        texts = [self._expand(self._render(q, self._template), counts) for q in questions]
        encoded = self.tokenizer(
            texts, padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt"
        )
        ids = encoded["input_ids"]
        # Without it Qwen2.5-VL silently takes other positions, and Qwen3-VL refuses.
        kinds = (ids == self._image_token).int()
        return {"input_ids": ids, "attention_mask": encoded["attention_mask"], "mm_token_type_ids": kinds, **vision}

    def _see(self, pictures: list[Image.Image]) -> Inputs:
        most = TOKENS_A_PICTURE * self._side**2
        size = {
            "shortest_edge": min(int(self._images.size["shortest_edge"]), most),
            "longest_edge": min(int(self._images.size["longest_edge"]), most),
        }
        return dict(self._images(images=pictures, size=size, return_tensors="pt"))

    def _expand(self, text: str, counts: Iterator[int]) -> str:
        """As many placeholders for each picture as it has tokens."""
        first, *rest = text.split(self._mark)
        return first + "".join(self._mark * next(counts) + part for part in rest)

    def _render(self, question: Question, template: str | None) -> str:
        text = self.tokenizer.apply_chat_template(
            messages(question, self._defuse),
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return without_thoughts(str(text))

    def _find_template(self, folder: Path) -> str | None:
        """The first template that knows pictures: the tokenizer's, the processor's, or `_FALLBACK`."""
        import jinja2

        found = [self.tokenizer.chat_template, _processor_template(folder), _FALLBACK]
        probe = Question("s", "t", (Path("a"), Path("b")), ())
        for template in (t for t in found if isinstance(t, str)):
            try:
                if self._render(probe, template).count(self._mark) == len(probe.images):
                    return template
            except (jinja2.TemplateError, TypeError, ValueError):
                continue
        return _FALLBACK


class ProcessorReader:
    """Any other model's own processor."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoProcessor

        try:
            self._processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
            self.tokenizer: Any = self._processor.tokenizer
        except (ImportError, AttributeError) as error:
            raise JudgeError(
                f"the processor of the judge's model in {folder} can't be loaded: {first_line(error)}",
                remedy="Install what it names (often torchvision), or name a Qwen-VL model, which needs nothing more.",
            ) from error
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self._defuse = Defuser(self.tokenizer)

    def batch(self, questions: Sequence[Question]) -> Inputs:
        """See `Reader.batch`; the names of the tensors are the processor's."""
        texts = [self._render(q) for q in questions]
        side = 1 << 5
        pictures = [[open_small(p, 1, budget(q, side)) for p in q.images] for q in questions]
        begun = bool(self.tokenizer.bos_token) and texts[0].startswith(self.tokenizer.bos_token)
        return dict(
            self._processor(
                text=texts,
                images=pictures if any(pictures) else None,
                padding=True,
                add_special_tokens=not begun,
                return_tensors="pt",
            )
        )

    def _render(self, question: Question) -> str:
        import jinja2

        kwargs = {"tokenize": False, "add_generation_prompt": True}
        try:
            text = self._processor.apply_chat_template(messages(question, self._defuse), **kwargs)
        except jinja2.TemplateError:
            # Some chat formats know no system message.
            merged = Question("", f"{question.system}\n\n{question.text}".strip(), question.images, ())
            text = self._processor.apply_chat_template(messages(merged, self._defuse), **kwargs)
        return without_thoughts(str(text))


class Defuser:
    """Takes the power from a model's control words (`<|im_end|>`) that stand in a question, where they are data."""

    def __init__(self, tokenizer: Any) -> None:
        words = {str(t) for t in tokenizer.added_tokens_decoder.values()} | set(map(str, tokenizer.all_special_tokens))
        self._words = sorted((w for w in words if len(w) > 1 and w.strip()), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        while found := [w for w in self._words if w in text]:
            for word in found:
                text = text.replace(word, f"{word[0]} {word[1:]}")
        return text


def messages(question: Question, defuse: Defuser) -> list[dict[str, Any]]:
    """The question as a chat: system, then pictures and text."""
    content = [*({"type": "image"} for _ in question.images), {"type": "text", "text": defuse(question.text)}]
    chat: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if question.system:
        chat.insert(0, {"role": "system", "content": [{"type": "text", "text": defuse(question.system)}]})
    return chat


def without_thoughts(text: str) -> str:
    """A prompt that opens the model's thoughts, with them closed, so that the next token is the answer's."""
    return f"{text.rstrip()}\n\n</think>\n\n" if text.rstrip().endswith("<think>") else text


def budget(question: Question, side: int) -> int:
    """Pixels a picture of the question may have, `side` being a token's in pixels."""
    return min(TOKENS_A_PICTURE, TOKENS_A_QUESTION // max(1, len(question.images))) * side * side


def open_small(path: Path, side: int, pixels: int) -> Image.Image:
    """A picture of at most so many pixels, its sides multiples of `side` when it had to shrink.

    Raises:
        JudgeError: it can't be read.
    """
    image = open_image(path)
    width, height = image.size
    if width * height <= pixels:
        return image
    scale = math.sqrt(pixels / (width * height))
    size = [max(side, math.floor(edge * scale / side) * side) for edge in (width, height)]
    return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)


def extended(inputs: Mapping[str, Any], tokens: Sequence[int]) -> Inputs:
    """The inputs with the same tokens after every row."""
    import torch

    if not tokens:
        return dict(inputs)
    ids = inputs["input_ids"]
    more = torch.tensor(tokens, dtype=ids.dtype).expand(len(ids), -1)
    fill = {"input_ids": more, "attention_mask": torch.ones_like(more)}
    return {
        name: torch.cat([value, fill.get(name, torch.zeros_like(more)).to(value.dtype)], 1)
        if getattr(value, "shape", None) == ids.shape
        else value
        for name, value in inputs.items()
    }


def first_line(error: BaseException) -> str:
    """What an error of another's library says, in one line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__


def _processor_template(folder: Path) -> str | None:
    """The template in a processor's `chat_template.json`, which tokenizers don't read."""
    try:
        found = from_json(read_text(folder / "chat_template.json")).get("chat_template")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
