"""Tiny random vision-language models of the real classes, in folders like the real repositories'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<think>",
    "</think>",
)
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in c %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FAMILIES = ("qwen3_vl", "qwen2_5_vl")


def build(family: str, folder: Path, seed: int = 0, template: str = TEMPLATE, favour: str = "") -> Path:
    """One of `FAMILIES` in `folder`: sharded weights with an index, tokenizer, and the processors' files.

    With `favour`, it answers with one of those letters or digits most of the time.
    """
    import torch

    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = (_qwen3 if family == "qwen3_vl" else _qwen25)(tokenizer)
    with torch.no_grad():  # random weights of the usual size hardly tell one picture from another
        for parameter in model.parameters():
            parameter.mul_(4 if parameter.ndim > 1 else 1)
        if favour:
            _favour(model, tokenizer.convert_tokens_to_ids(list(favour)))
    model.generation_config.bos_token_id, model.generation_config.eos_token_id = None, tokenizer.eos_token_id
    model.save_pretrained(folder, max_shard_size="300KB")
    tokenizer.save_pretrained(folder)
    for file in folder.glob("chat_template.*"):
        file.unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    _processors(family, folder, model.config.vision_config.patch_size)
    return folder


def make_tokenizer() -> Any:
    """Qwen's kind of tokenizer: bytes and pairs of them, every digit a token of its own."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    words = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    corpus = ["Which picture is better, A or B? Or a tie? Give it 1 to 10. Yes, no, neither, A, B, T."] * 5
    inner.train_from_iterator(corpus, trainer)
    return Qwen2TokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token=None)


def _favour(model: Any, tokens: list[int]) -> None:
    """One dimension is the same for every token read, and speaks for these tokens to be written."""
    import torch

    embedding = model.get_input_embeddings().weight
    head = torch.nn.Linear(embedding.shape[1], embedding.shape[0], bias=False)
    head.weight.copy_(embedding)
    embedding[:, 0] = 3
    head.weight[:, 0] = -2
    head.weight[tokens, 0] = 2
    model.set_output_embeddings(head)
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = False


def _tokens(tokenizer: Any) -> dict[str, int]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {key: tokenizer.convert_tokens_to_ids(word) for key, word in names.items()}


def _text(tokenizer: Any, layers: int, **rope: Any) -> dict[str, Any]:
    sections = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], **rope}
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 8192,
        "rope_parameters": sections,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _vision(patch: int) -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_heads": 4,
        "patch_size": patch,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 64,
    }


def _qwen3(tokenizer: Any) -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    text = {**_text(tokenizer, 3, mrope_interleaved=True), "head_dim": 16}
    vision = {**_vision(16), "num_position_embeddings": 256, "deepstack_visual_indexes": [0, 1]}
    config = Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **_tokens(tokenizer))
    return Qwen3VLForConditionalGeneration(config)


def _qwen25(tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {**_vision(14), "fullatt_block_indexes": [1], "window_size": 112}
    text = _text(tokenizer, 2)
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **_tokens(tokenizer))
    return Qwen2_5_VLForConditionalGeneration(config)


def _processors(family: str, folder: Path, patch: int) -> None:
    """What the real repositories ship: they name classes that need torchvision."""
    sides = {
        "patch_size": patch,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "size": {"shortest_edge": 4096, "longest_edge": 16777216},
    }
    kind = "Qwen3VL" if family == "qwen3_vl" else "Qwen2_5_VL"
    picture = {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "processor_class": f"{kind}Processor",
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        **sides,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(picture))
    video = "Qwen3VLVideoProcessor" if family == "qwen3_vl" else "Qwen2VLVideoProcessor"
    (folder / "video_preprocessor_config.json").write_text(json.dumps({"video_processor_type": video, **sides}))


def build_llava(folder: Path) -> Path:
    """A model of another family, which comes with its own processor."""
    import torch
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        Qwen2Config,
    )

    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    mark = "<|image_pad|>"
    tokenizer.chat_template = TEMPLATE.replace(f"<|vision_start|>{mark}<|vision_end|>", mark)
    sides = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = CLIPVisionConfig(**sides, image_size=32, patch_size=16)
    text = Qwen2Config(**sides, num_key_value_heads=2, vocab_size=len(tokenizer), tie_word_embeddings=True)
    config = LlavaConfig(
        text_config=text,
        vision_config=vision,
        image_token_index=tokenizer.convert_tokens_to_ids(mark),
        vision_feature_layer=-1,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    side = {"height": 32, "width": 32}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=side),
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=mark,
        chat_template=tokenizer.chat_template,
    )
    processor.save_pretrained(folder)
    return folder
