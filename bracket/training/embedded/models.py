"""The embedded base's untrained parts: the real FLUX.2 Klein classes, very small."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
from diffusers.models.resnet import ResnetBlock2D
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

from bracket.demo.shapes import RESOLUTION, SHAPES, all_specs, caption

TEXT_LENGTH = 16
"""Tokens a caption is padded to. Klein has no text mask, so training and sampling must agree."""
TEXT_LAYERS = (1, 2, 3)
"""Hidden states that are concatenated into the prompt embedding (Klein's own default is 9, 18, 27)."""


def corpus() -> Iterable[str]:
    return (caption(*spec) for spec in all_specs(SHAPES))


def make_tokenizer(vocabulary: int = 384) -> Qwen2TokenizerFast:
    """Byte-level BPE over the captions: any text, a new trigger word too, has tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    bpe.train_from_iterator(corpus(), trainer)
    tokenizer = Qwen2TokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token=None, model_max_length=512
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer.padding_side = "right"
    return tokenizer


def make_text_encoder(vocabulary: int, hidden: int = 64, layers: int = 3) -> Qwen3ForCausalLM:
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=hidden,
            intermediate_size=hidden * 2,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=hidden // 2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.1,
        )
    )


def make_vae() -> AutoencoderKLFlux2:
    """Three levels (x4), then Klein's 2x2 patchify: a 64-px picture is 8x8 tokens of 32 channels.

    One normalisation group, because GroupNorm over few channels erases flat colours; every residual block
    starts as the identity.
    """
    vae = AutoencoderKLFlux2(
        block_out_channels=(16, 32, 48),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=1,
        sample_size=RESOLUTION,
        mid_block_add_attention=False,
    )
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            torch.nn.init.zeros_(module.conv2.weight)
            torch.nn.init.zeros_(module.conv2.bias)
    return vae


def make_transformer(in_channels: int, text_width: int) -> Flux2Transformer2DModel:
    """4 heads of 32, 2 double-stream and 4 single-stream blocks: 2.05 M parameters. Rope theta fits an 8x8 grid."""
    return Flux2Transformer2DModel(
        patch_size=1,
        in_channels=in_channels,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=32,
        num_attention_heads=4,
        joint_attention_dim=text_width,
        timestep_guidance_channels=128,
        mlp_ratio=3.0,
        axes_dims_rope=(4, 12, 12, 4),
        rope_theta=100,
        guidance_embeds=False,
    )


def make_scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0, use_dynamic_shifting=False)
