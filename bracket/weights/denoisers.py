"""The models that draw: UNets and diffusion transformers, in their own and in diffusers' layout.

Names and sizes are those of the models' loaders in sd-scripts, musubi-tuner, AI-Toolkit and diffusers. The first family
that fits is it, so that the odd ones stand before those whose names they share.
"""

from __future__ import annotations

from bracket.weights.marks import Family, Variant, either, every, has, lacks, rank, size

_UNET = either(
    has("input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight"),
    has("conv_in.weight", "down_blocks.0.resnets.0.time_emb_proj.weight"),
)
_UNET_IN = ("input_blocks.0.0.weight", "conv_in.weight")
_UNET_TEXT = (
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight",
)
_FLUX_IN = ("img_in.weight", "x_embedder.weight")
_FLUX2 = ("double_stream_modulation_img.lin.weight", "double_stream_modulation_img.linear.weight")
_WAN_IN = "patch_embedding.weight"
_WAN = either(
    has(_WAN_IN, "time_projection.1.weight", "blocks.0.self_attn.q.weight"),
    every(
        has(_WAN_IN, "condition_embedder.time_proj.weight", "blocks.0.attn1.to_q.weight", "scale_shift_table"),
        lacks("condition_embedder.delta_embedder.linear_1.weight"),
    ),
)
_WAN_IMAGE = either(has("img_emb.proj.1.weight"), has("condition_embedder.image_embedder.ff.net.0.proj.weight"))
_WAN_IMAGE_LESS = lacks("img_emb.proj.1.weight", "condition_embedder.image_embedder.ff.net.0.proj.weight")
_HUNYUAN = either(
    has("txt_in.individual_token_refiner.blocks.0.norm1.weight"),
    has("context_embedder.token_refiner.refiner_blocks.0.norm1.weight"),
)
_HUNYUAN_IN = ("img_in.proj.weight", "x_embedder.proj.weight")
_KANDINSKY = "visual_embeddings.in_layer.weight"

DENOISERS = (
    Family(
        "controlnet",
        "a ControlNet",
        either(
            has("controlnet_cond_embedding.conv_in.weight"),
            has("controlnet_x_embedder.weight"),
            has("input_hint_block.0.weight"),
        ),
    ),
    # --- UNets
    Family("sd-inpainting", "a Stable Diffusion inpainting model", every(_UNET, size(1, 9, *_UNET_IN))),
    Family("kolors", "Kolors", every(_UNET, has("encoder_hid_proj.weight"))),
    Family(
        "sdxl-refiner",
        "the SDXL refiner",
        every(
            _UNET, either(has("label_emb.0.0.weight"), has("add_embedding.linear_1.weight")), size(1, 1280, *_UNET_TEXT)
        ),
    ),
    Family("sdxl", "SDXL", every(_UNET, either(has("label_emb.0.0.weight"), has("add_embedding.linear_1.weight")))),
    Family(
        "sd",
        "Stable Diffusion 1 or 2",
        _UNET,
        (
            Variant("sd15", "Stable Diffusion 1.5", size(1, 768, *_UNET_TEXT)),
            Variant("sd2", "Stable Diffusion 2", size(1, 1024, *_UNET_TEXT)),
        ),
    ),
    # --- Stable Diffusion 3
    Family(
        "sd3",
        "Stable Diffusion 3",
        either(
            has("joint_blocks.0.x_block.attn.qkv.weight"),
            has("pos_embed.proj.weight", "transformer_blocks.0.attn.add_k_proj.weight"),
        ),
        (
            Variant(
                "sd35-medium",
                "Stable Diffusion 3.5 medium",
                either(has("joint_blocks.0.x_block.attn2.qkv.weight"), has("transformer_blocks.0.attn2.to_q.weight")),
            ),
            Variant(
                "sd35-large",
                "Stable Diffusion 3.5 large",
                either(has("joint_blocks.0.x_block.attn.ln_q.weight"), has("transformer_blocks.0.attn.norm_q.weight")),
            ),
            Variant("sd3-medium", "Stable Diffusion 3 medium", lacks()),
        ),
    ),
    # --- FLUX.1 and what was made of it
    Family(
        "chroma-radiance",
        "Chroma Radiance",
        has("distilled_guidance_layer.in_proj.weight", "img_in_patch.weight"),
    ),
    Family("chroma", "Chroma", has("distilled_guidance_layer.in_proj.weight")),
    Family(
        "flux1",
        "FLUX.1",
        either(
            has("vector_in.in_layer.weight", "double_blocks.0.img_mod.lin.weight"),
            has(
                "time_text_embed.text_embedder.linear_1.weight",
                "single_transformer_blocks.0.proj_mlp.weight",
                _FLUX_IN[1],
            ),
        ),
        (
            Variant("flux1-fill", "FLUX.1 Fill", size(1, 384, *_FLUX_IN)),
            Variant("flux1-control", "FLUX.1 Canny or Depth", size(1, 128, *_FLUX_IN)),
            Variant("flex2", "Flex.2", size(1, 196, *_FLUX_IN)),
            Variant(
                "flex1",
                "Flex.1",
                either(
                    every(
                        has("guidance_in.in_layer.weight", "double_blocks.7.img_mod.lin.weight"),
                        lacks("double_blocks.8.img_mod.lin.weight"),
                    ),
                    every(
                        has(
                            "time_text_embed.guidance_embedder.linear_1.weight",
                            "transformer_blocks.7.attn.add_k_proj.weight",
                        ),
                        lacks("transformer_blocks.8.attn.add_k_proj.weight"),
                    ),
                ),
            ),
            Variant(
                "flux1-dev",
                "FLUX.1 dev or Kontext",
                either(has("guidance_in.in_layer.weight"), has("time_text_embed.guidance_embedder.linear_1.weight")),
            ),
            Variant("flux1-schnell", "FLUX.1 schnell", lacks()),
        ),
    ),
    Family(
        "flux2",
        "FLUX.2",
        either(has(_FLUX2[0]), has(_FLUX2[1])),
        (
            Variant("flux2-dev", "FLUX.2 dev", size(1, 6144, *_FLUX2)),
            Variant("flux2-klein-9b", "FLUX.2 klein 9B", size(1, 4096, *_FLUX2)),
            Variant("flux2-klein-4b", "FLUX.2 klein 4B", size(1, 3072, *_FLUX2)),
        ),
    ),
    # --- Lumina's line
    Family("omnigen2", "OmniGen 2", has("ref_image_patch_embedder.weight", "image_index_embedding")),
    Family("z-image", "Z-Image", has("cap_pad_token", "noise_refiner.0.attention_norm1.weight")),
    Family(
        "lumina2",
        "Lumina 2",
        either(
            has("cap_embedder.1.weight", "noise_refiner.0.attention_norm1.weight"),
            has("time_caption_embed.caption_embedder.1.weight", "noise_refiner.0.norm1.linear.weight"),
        ),
    ),
    # --- Qwen-Image; its edit models have the same names and sizes
    Family(
        "qwen-image-layered",
        "Qwen-Image-Layered",
        has("txt_norm.weight", "time_text_embed.addition_t_embedding.weight"),
    ),
    Family(
        "qwen-image",
        "Qwen-Image or Qwen-Image-Edit",
        has("txt_norm.weight", "transformer_blocks.0.img_mod.1.weight", "transformer_blocks.0.txt_mod.1.weight"),
    ),
    # --- Hunyuan's
    Family(
        "hunyuanvideo1.5",
        "HunyuanVideo 1.5",
        every(_HUNYUAN, either(has("vision_in.proj.0.weight"), has("image_embedder.norm_in.weight"))),
    ),
    Family("framepack", "FramePack", every(_HUNYUAN, has("clean_x_embedder.proj.weight"))),
    Family("hunyuan-image-2.1", "HunyuanImage 2.1", every(_HUNYUAN, rank(4, *_HUNYUAN_IN))),
    Family(
        "hunyuanvideo",
        "HunyuanVideo",
        every(_HUNYUAN, either(has("vector_in.in_layer.weight"), has("time_text_embed.text_embedder.linear_1.weight"))),
    ),
    # --- Wan
    Family("wan-vace", "Wan VACE", every(_WAN, has("vace_patch_embedding.weight"))),
    Family("wan-animate", "Wan Animate", every(_WAN, has("face_encoder.conv1_local.weight"))),
    Family(
        "wan",
        "Wan",
        _WAN,
        (
            Variant("wan2.1-fun-control", "Wan 2.1 Fun Control", every(_WAN_IMAGE, size(1, 48, _WAN_IN))),
            Variant("wan2.1-1.3b", "Wan 2.1 1.3B", every(size(0, 1536, _WAN_IN), size(1, 16, _WAN_IN))),
            Variant("wan2.2-5b", "Wan 2.2 5B", every(size(0, 3072, _WAN_IN), size(1, 48, _WAN_IN))),
            Variant("wan-14b-t2v", "Wan 14B text-to-video", every(size(0, 5120, _WAN_IN), size(1, 16, _WAN_IN))),
            Variant(
                "wan2.1-14b-flf2v",
                "Wan 2.1 14B first-and-last-frame",
                every(
                    size(0, 5120, _WAN_IN),
                    either(has("img_emb.emb_pos"), has("condition_embedder.image_embedder.pos_embed")),
                ),
            ),
            Variant("wan2.1-14b-i2v", "Wan 2.1 14B image-to-video", every(size(0, 5120, _WAN_IN), _WAN_IMAGE)),
            Variant(
                "wan2.2-14b-i2v",
                "Wan 2.2 14B image-to-video",
                every(size(0, 5120, _WAN_IN), size(1, 36, _WAN_IN), _WAN_IMAGE_LESS),
            ),
        ),
    ),
    # --- others
    Family(
        "cosmos2",
        "Cosmos-Predict 2",
        either(
            has("blocks.0.adaln_modulation_self_attn.1.weight"),
            has("patch_embed.proj.weight", "time_embed.t_embedder.linear_1.weight", "norm_out.linear_2.weight"),
        ),
        # In diffusers' layout the adapter that makes it Anima lies in a folder of its own.
        (Variant("anima", "Anima", has("llm_adapter.blocks.0.norm_self_attn.weight")),),
    ),
    Family("hidream-i1", "HiDream-I1 or E1", has("double_stream_blocks.0.block.adaLN_modulation.1.weight")),
    Family("hidream-o1", "HiDream-O1", has("t_embedder1.mlp.0.weight", "x_embedder.proj1.weight")),
    Family("krea2", "Krea 2", either(has("txtfusion.projector.weight"), has("text_fusion.projector.weight"))),
    Family("ideogram4", "Ideogram 4", has("llm_cond_proj.weight", "embed_image_indicator.weight")),
    Family(
        "kandinsky5",
        "Kandinsky 5",
        has(_KANDINSKY, "pooled_text_embeddings.in_layer.weight"),
        (
            Variant("kandinsky5-lite-video", "Kandinsky 5 Lite video", size(0, 1792, _KANDINSKY)),
            Variant("kandinsky5-lite-image", "Kandinsky 5 Lite image", size(0, 2560, _KANDINSKY)),
            Variant("kandinsky5-pro", "Kandinsky 5 Pro", size(0, 4096, _KANDINSKY)),
        ),
    ),
    Family(
        "ltx2",
        "LTX-2",
        either(has("audio_patchify_proj.weight"), has("audio_proj_in.weight", "audio_scale_shift_table")),
    ),
    Family(
        "ltx",
        "LTX-Video",
        either(
            has("patchify_proj.weight", "scale_shift_table"),
            has("proj_in.weight", "time_embed.emb.timestep_embedder.linear_1.weight", "scale_shift_table"),
        ),
    ),
)
