"""Text encoders, image encoders and autoencoders, in the layouts the trainers load.

The names are those after `identify` has dropped prefixes such as `model.` and `text_model.`; sizes are the models' own
configurations (hidden width and vocabulary of the language models, latent channels of the autoencoders).
"""

from __future__ import annotations

from bracket.weights.marks import Family, Variant, either, every, has, lacks, rank, size

_CLIP = ("embeddings.token_embedding.weight", "token_embedding.weight")
_T5 = "encoder.block.0.layer.0.SelfAttention.q.weight"
_WORDS = "embed_tokens.weight"
_LLM = has("layers.0.self_attn.q_proj.weight")
_QK_NORM = has("layers.0.self_attn.q_norm.weight")
_GEMMA = has("layers.0.pre_feedforward_layernorm.weight")
_VISION = ("visual.patch_embed.proj.weight", "visual.merger.linear_fc1.weight")

ENCODERS = (
    Family(
        "clip",
        "a CLIP text encoder",
        either(has(_CLIP[0]), has(_CLIP[1], "transformer.resblocks.0.attn.in_proj_weight")),
        (
            Variant("clip-l", "CLIP-L", size(1, 768, *_CLIP)),
            Variant("clip-h", "OpenCLIP-H", size(1, 1024, *_CLIP)),
            Variant("clip-g", "CLIP-G", size(1, 1280, *_CLIP)),
        ),
    ),
    Family(
        "umt5",
        "a UMT5 text encoder",
        either(
            has(_T5, "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"),
            has("token_embedding.weight", "blocks.0.pos_embedding.embedding.weight"),
        ),
        (
            Variant(
                "umt5-xxl",
                "UMT5-XXL",
                size(1, 4096, "shared.weight", "encoder.embed_tokens.weight", "token_embedding.weight"),
            ),
        ),
    ),
    Family(
        "t5",
        "a T5 text encoder",
        has(_T5),
        (
            Variant("t5-xxl", "T5-XXL", size(1, 4096, _T5)),
            Variant("byt5-small", "ByT5-small", size(1, 1472, _T5)),
        ),
    ),
    Family(
        "qwen3-vl",
        "Qwen3-VL",
        every(_LLM, _QK_NORM, has(*_VISION)),
        (
            Variant("qwen3-vl-4b", "Qwen3-VL 4B", size(1, 2560, _WORDS)),
            Variant("qwen3-vl-8b", "Qwen3-VL 8B", size(1, 4096, _WORDS)),
        ),
    ),
    Family(
        "qwen2.5-vl",
        "Qwen2.5-VL",
        every(_LLM, has("layers.0.self_attn.q_proj.bias")),
        (
            Variant("qwen2.5-vl-3b", "Qwen2.5-VL 3B", size(1, 2048, _WORDS)),
            Variant("qwen2.5-vl-7b", "Qwen2.5-VL 7B", size(1, 3584, _WORDS)),
        ),
    ),
    Family(
        "gemma3",
        "Gemma 3",
        every(_LLM, _GEMMA, _QK_NORM),
        (Variant("gemma3-12b", "Gemma 3 12B", size(1, 3840, _WORDS)),),
    ),
    Family("gemma2", "Gemma 2", every(_LLM, _GEMMA), (Variant("gemma2-2b", "Gemma 2 2B", size(1, 2304, _WORDS)),)),
    Family(
        "qwen3",
        "Qwen3",
        every(_LLM, _QK_NORM),
        (
            Variant("qwen3-0.6b", "Qwen3 0.6B", size(1, 1024, _WORDS)),
            Variant("qwen3-1.7b", "Qwen3 1.7B", size(1, 2048, _WORDS)),
            Variant("qwen3-4b", "Qwen3 4B", size(1, 2560, _WORDS)),
            Variant("qwen3-8b", "Qwen3 8B", size(1, 4096, _WORDS)),
        ),
    ),
    Family(
        "llama",
        "a Llama or Mistral language model",
        _LLM,
        (
            Variant("mistral-small-3.1", "Mistral Small 3", every(size(0, 131072, _WORDS), size(1, 5120, _WORDS))),
            Variant("llava-llama-3-8b", "LLaVA-Llama-3 8B", every(size(0, 128320, _WORDS), size(1, 4096, _WORDS))),
            Variant("llama-3-8b", "Llama 3 8B", every(size(0, 128256, _WORDS), size(1, 4096, _WORDS))),
        ),
    ),
    Family("clip-xlm-roberta", "the XLM-RoBERTa CLIP of Wan 2.1", has("visual.cls_embedding", "visual.head")),
    Family(
        "clip-vision",
        "a CLIP image encoder",
        has("embeddings.patch_embedding.weight", "embeddings.class_embedding"),
    ),
    Family(
        "siglip",
        "SigLIP",
        every(has("embeddings.patch_embedding.weight", "post_layernorm.weight"), lacks("embeddings.class_embedding")),
    ),
)

_CONV2D = rank(4, "encoder.conv_in.weight", "decoder.conv_in.weight")
_LATENT = "decoder.conv_in.weight"

AUTOENCODERS = (
    Family("vae-flux2", "the FLUX.2 VAE", every(has("bn.running_mean", "decoder.conv_in.weight"), _CONV2D)),
    Family(
        "vae-hunyuan-image-2.1",
        "the HunyuanImage 2.1 VAE",
        every(
            _CONV2D,
            either(
                has("encoder.down.5.block.0.conv1.weight"),
                has("encoder.down_blocks.0.conv1.weight", "decoder.mid_block.resnets.0.conv1.weight"),
            ),
        ),
    ),
    Family(
        "vae-kl",
        "an image VAE",
        every(
            _CONV2D,
            lacks("decoder.temp_conv_in.weight"),
            either(
                has("decoder.up.0.block.0.conv1.weight", "decoder.mid.attn_1.norm.weight"),
                has("decoder.up_blocks.0.resnets.0.conv1.weight", "decoder.conv_norm_out.weight"),
            ),
        ),
        (
            Variant("vae-sd", "the VAE of SD and SDXL (4 channels)", size(1, 4, _LATENT)),
            Variant("vae-flux", "the VAE of FLUX.1 and SD 3 (16 channels)", size(1, 16, _LATENT)),
        ),
    ),
    Family(
        "vae-wan-residual",
        "a VAE like Wan 2.2's",
        either(
            has("encoder.downsamples.0.downsamples.0.residual.0.gamma"),
            has("encoder.down_blocks.0.resnets.0.norm1.gamma", "encoder.down_blocks.0.downsampler.resample.1.weight"),
        ),
        (Variant("vae-wan2.2", "the Wan 2.2 5B VAE", size(1, 48, "decoder.conv1.weight", _LATENT)),),
    ),
    Family(
        "vae-wan2.1",
        "the VAE of Wan 2.1 and Qwen-Image",
        either(has("encoder.downsamples.0.residual.0.gamma"), has("encoder.down_blocks.0.norm1.gamma")),
    ),
    Family(
        "vae-hunyuanvideo1.5",
        "the HunyuanVideo 1.5 VAE",
        either(
            has("encoder.down.0.block.0.norm1.gamma"),
            has("encoder.down_blocks.0.resnets.0.norm1.gamma", "encoder.conv_in.conv.weight"),
        ),
    ),
    Family(
        "vae-hunyuanvideo",
        "the HunyuanVideo VAE",
        either(
            has(
                "encoder.down_blocks.0.resnets.0.conv1.conv.weight", "encoder.mid_block.attentions.0.group_norm.weight"
            ),
            has("encoder.down.0.block.0.conv1.conv.weight", "encoder.down.0.block.0.norm1.weight"),
        ),
    ),
    Family(
        "vae-ltx",
        "an LTX VAE",
        every(
            either(
                has("encoder.down_blocks.0.resnets.0.conv1.conv.weight", "decoder.conv_in.conv.weight"),
                has("encoder.down_blocks.0.res_blocks.0.conv1.conv.weight", "decoder.conv_in.conv.weight"),
            ),
            lacks("encoder.down_blocks.0.resnets.0.norm1.weight"),
        ),
    ),
)
