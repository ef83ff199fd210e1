"""Which settings AI-Toolkit knows. It ignores any other without a word, so bracket does not: a key that is not here,
that does nothing, or that bracket sets itself is an error with its name.

Keys as `toolkit/config_modules.py` reads them (version 0.12.26); a checkout of another version is asked itself.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_WORDS: Mapping[str, str] = {
    "network": "type linear linear_alpha conv conv_alpha dropout transformer_only lokr_full_rank lokr_factor"
    " old_lokr_format split_multistage_loras pretrained_lora_path layer_offloading all_layers",
    "network.network_kwargs": "only_if_contains ignore_if_contains full_if_contains parameter_threshold attn_only",
    "save": "dtype save_format push_to_hub hf_repo_id hf_private",
    "train": "noise_scheduler lr optimizer lr_scheduler batch_size gradient_accumulation dtype attention_backend"
    " train_unet train_text_encoder gradient_checkpointing max_grad_norm content_or_style timestep_type"
    " next_sample_timesteps linear_timesteps linear_timesteps2 min_denoising_steps max_denoising_steps loss_type"
    " min_snr_gamma snr_gamma noise_offset noise_multiplier random_noise_multiplier random_noise_shift"
    " prompt_dropout_prob cache_text_embeddings unload_text_encoder cfg_scale do_cfg bypass_guidance_embedding"
    " do_guidance_loss guidance_loss_target guidance_loss_schedule do_guidance_loss_cfg_zero unconditional_prompt"
    " do_differential_guidance differential_guidance_scale diff_output_preservation"
    " diff_output_preservation_multiplier diff_output_preservation_class blank_prompt_preservation"
    " blank_prompt_preservation_multiplier inverted_mask_prior inverted_mask_prior_multiplier switch_boundary_every"
    " reg_weight max_loss merge_network_on_save do_paramiter_swapping paramiter_swapping_factor audio_loss_multiplier"
    " weight_jitter sdp xformers pred_scaler t0_loss_target force_consistent_noise optimal_noise_pairing_samples"
    " blended_blur_noise match_noise_norm do_blank_stabilization standardize_images standardize_latents"
    " short_and_long_captions single_item_batching loss_target dynamic_noise_offset adaptive_scaling_factor"
    " show_turbo_outputs train_turbo train_refiner",
    "train.ema_config": "use_ema ema_decay use_feedback param_multiplier",
    "train.validation_config": "resolution validation_sigmas",
    "model": "name_or_path arch quantize qtype quantize_te qtype_te low_vram layer_offloading"
    " layer_offloading_transformer_percent layer_offloading_text_encoder_percent assistant_lora_path"
    " inference_lora_path unconditional_lora_path lora_path accuracy_recovery_adapter extras_name_or_path vae_path"
    " te_name_or_path unet_path refiner_name_or_path compile block_compile compile_mode compile_fullgraph"
    " compile_dynamic only_if_contains ignore_if_contains is_flux attn_masking split_model_over_gpus use_flux_cfg"
    " is_v_pred use_text_encoder_1 use_text_encoder_2 vae_device te_device vae_dtype te_dtype in_context"
    " latent_space_version",
    "datasets": "caption_ext default_caption trigger_word resolution batch_size num_repeats caption_dropout_rate"
    " shuffle_tokens keep_tokens token_dropout_rate flip_x flip_y is_reg prior_reg network_weight loss_multiplier"
    " cache_latents cache_latents_to_disk mask_path mask_min_value alpha_mask invert_mask control_path control_path_1"
    " control_path_2 control_path_3 full_size_control_images inpaint_path controls buckets bucket_tolerance"
    " square_crop random_crop random_scale scale num_workers prefetch_factor cache_latents_num_workers random_triggers"
    " random_triggers_max replacements num_frames fps shrink_video_to_frames auto_frame_count"
    " trim_auto_frame_count_tail do_i2v do_audio audio_normalize audio_preserve_pitch standardize_images",
    "sample": "sampler format network_multiplier guidance_rescale do_cfg_norm fps num_frames",
    "": "trigger_word performance_log_every",
}
_FREE = ("train.optimizer_params.", "train.lr_scheduler_params.", "model.model_kwargs.", "model.quantize_kwargs.",
         "model.model_paths.")  # fmt: skip
"""What the optimiser, the schedule or the model's own loader takes; AI-Toolkit hands it on, and they complain."""
_OWN = {
    "type", "device", "training_folder", "training_seed", "sqlite_db_path", "log_dir", "logging", "train.steps",
    "train.start_step", "train.skip_first_sample", "train.force_first_sample", "train.disable_sampling",
    "train.gradient_accumulation_steps", "train.validation_config.validation_items",
    "train.validation_config.validate_every_n_steps", "save.save_every", "save.max_step_saves_to_keep",
    "sample.sample_every", "sample.sample_start_step", "sample.samples", "sample.prompts", "sample.seed",
    "sample.walk_seed", "sample.width", "sample.height", "sample.neg", "sample.guidance_scale", "sample.sample_steps",
    "datasets.folder_path", "datasets.dataset_path",
}  # fmt: skip
_DEAD = {
    "train.unet_lr": "train.lr is used in its place",
    "train.text_encoder_lr": "train.lr is used in its place",
    "train.optimizer_params.eps": "AI-Toolkit passes one of its own, and two are an error",
    "network.alpha": "it is network.linear_alpha where there is one",
    "network.rank": "it is network.linear",
}
ALLOWED = frozenset(f"{block}.{w}".lstrip(".") for block, words in _WORDS.items() for w in words.split())
UNET_ARCHS = frozenset({"sd1", "sd15", "sd2", "sdxl", "ssd", "vega"})
"""Where alpha, convolutions and the noise settings of DDPM count; LoRAs of all others have their rank as alpha."""
NO_CAPTION_CACHE = frozenset({"sd1", "sd15", "sd2", "lumina2", "pixart", "pixart_sigma", "auraflow", "chroma", "flex2"})
"""Models that fail to draw once captions are cached: before each picture their loaders look into the text encoder, and
caching has taken it away."""
_LEGACY_ARCHS = UNET_ARCHS | {"sd3", "pixart", "pixart_sigma", "auraflow", "flux", "flex1", "lumina2"}
"""Models of AI-Toolkit's first loader, which have no class of their own."""
_CLASSES = {
    "NetworkConfig": "network", "SaveConfig": "save", "TrainConfig": "train", "ValidationConfig":
    "train.validation_config", "ModelConfig": "model", "DatasetConfig": "datasets", "SampleConfig": "sample",
    "EMAConfig": "train.ema_config",
}  # fmt: skip


def key_problem(key: str, arch: str = "") -> str:
    """What is wrong with a setting of this name, as a sentence without a stop; "" when it is fine."""
    if key in _DEAD:
        return f"{key} does nothing in AI-Toolkit: {_DEAD[key]}"
    if key in {"network.linear_alpha", "network.conv_alpha"} and arch and arch not in UNET_ARCHS:
        return f"{key} does nothing for {arch}: AI-Toolkit takes the rank as alpha"
    if key in _OWN or key.split(".")[0] == "logging":
        return f"{key} is set by bracket itself"
    if key in ALLOWED or key.startswith(_FREE):
        return ""
    near = difflib.get_close_matches(key, sorted(ALLOWED), 1, 0.85)
    return f"AI-Toolkit has no setting {key}, and would ignore it" + (f"; {near[0]} is meant?" if near else "")


@cache
def archs_of(folder: Path) -> frozenset[str]:
    """The architectures a checkout knows: a class attribute `arch` of each model, and the first loader's names."""
    found = set(_LEGACY_ARCHS)
    pattern = re.compile(r"""^ {4}arch\s*=\s*["']([\w.\-]+)["']""", re.MULTILINE)
    for part in ("extensions_built_in", "extensions", "toolkit/models"):
        for file in (folder / part).rglob("*.py"):
            found.update(pattern.findall(file.read_text(encoding="utf-8", errors="replace")))
    return frozenset(found)


@cache
def keys_of(folder: Path) -> frozenset[str]:
    """The settings a checkout reads, as dotted keys: every `kwargs.get("key", …)` of its config classes.

    Empty when its `config_modules.py` is not there or can't be understood.
    """
    try:
        tree = ast.parse((folder / "toolkit" / "config_modules.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in _CLASSES:
            found |= {f"{_CLASSES[node.name]}.{key}" for key in _read_keys(node)}
    return frozenset(found)


def _read_keys(node: ast.AST) -> Iterable[str]:
    for call in ast.walk(node):
        match call:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="kwargs"), attr="get"), args=[ast.Constant(value=str(key)), *_]
            ):
                yield key


def unknown_to(folder: Path, keys: Iterable[str]) -> list[str]:
    """Those of our keys that a checkout doesn't read, because it is of another version."""
    known = keys_of(folder)
    blocks = set(_CLASSES.values())
    return sorted(k for k in keys if known and k.rpartition(".")[0] in blocks and k not in known)
