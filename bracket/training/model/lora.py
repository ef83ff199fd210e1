"""The LoRA on a frozen transformer: put on, taken off, saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from bracket.errors import SettingsError
from bracket.training.config.schema import LoraSection

ADAPTER = "default"
LORA_TARGETS = (
    r"(.*\.(to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out|linear_in|linear_out|to_qkv_mlp_proj)"
    r"|single_transformer_blocks\.\d+\.attn\.to_out)"
)
"""Every linear layer of both kinds of blocks. Single-stream blocks are most of Klein and have their own two layers;
their `to_out` needs its whole name, because in double-stream blocks that name is a list of modules."""


def add_lora(transformer: Any, settings: LoraSection, seed: int) -> list[nn.Parameter]:
    """Put a fresh adapter on the frozen transformer and return its weights, float32 whatever the base's format.

    In bfloat16 small updates would be rounded away. A holds N(0, 1/rank) from `seed`, B is zero. An adapter that an
    earlier trial left is removed.

    Raises:
        SettingsError: the targets match no layer.
    """
    from peft import LoraConfig

    remove_lora(transformer)
    targets = settings.targets or LORA_TARGETS
    torch.manual_seed(seed)
    try:
        transformer.add_adapter(
            LoraConfig(
                r=settings.rank,
                lora_alpha=settings.alpha or settings.rank,
                lora_dropout=settings.dropout,
                init_lora_weights="gaussian",
                target_modules=targets if isinstance(targets, str) else list(targets),
            ),
            adapter_name=ADAPTER,
        )
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(f"lora.targets can't be used: {reason}") from error
    parameters = [p for p in transformer.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()
    _speed_up(transformer)
    return parameters


def _speed_up(transformer: Any) -> None:
    """Let each adapted linear layer add its low-rank part in one matrix product, about a tenth of a step's time.

    peft multiplies by the scale and adds in passes of their own over the layer's whole output, and again backwards.
    """
    from peft.tuners.lora.layer import Linear

    for layer in transformer.modules():
        if type(layer) is Linear:
            layer.forward = _fused(layer, layer.forward)


def _fused(layer: Any, plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """W x + scale B A dropout(x), with the same weights as `plain`, which still serves what this doesn't."""

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        down, up = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        one_format = x.dtype == down.dtype or torch.is_autocast_enabled(x.device.type)
        if args or kwargs or layer.disable_adapters or layer.merged or not one_format:
            return plain(x, *args, **kwargs)
        rows = x.reshape(-1, x.shape[-1])
        low = F.linear(layer.lora_dropout[ADAPTER](rows), down)
        out = torch.addmm(layer.base_layer(rows), low, up.t(), alpha=layer.scaling[ADAPTER])
        return out.view(*x.shape[:-1], -1)

    return forward


def remove_lora(transformer: Any) -> None:
    """Take every adapter off, so that the base is as it was loaded."""
    if getattr(transformer, "_hf_peft_config_loaded", False):
        transformer.unload_lora()


def save_lora(transformer: Any, folder: Path) -> None:
    """Write `pytorch_lora_weights.safetensors` (with rank and alpha in its header) for `load_lora_weights`.

    Raises:
        OSError: the disk is full or the folder can't be written.
    """
    from diffusers import Flux2KleinPipeline
    from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
    from peft import get_peft_model_state_dict

    # peft holds lists as sets, whose order differs between runs; the same training must give the same bytes.
    adapter = {
        f"{Flux2KleinPipeline.transformer_name}.{k}": sorted(v) if isinstance(v, set) else v
        for k, v in transformer.peft_config[ADAPTER].to_dict().items()
    }
    metadata = {"format": "pt", LORA_ADAPTER_METADATA_KEY: json.dumps(adapter, indent=2, sort_keys=True)}

    def write(weights: dict[str, Tensor], path: str) -> None:
        # Not by safetensors' own writer: its error for a full disk is no OSError.
        Path(path).write_bytes(_settled(save(weights, metadata)))

    Flux2KleinPipeline.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(transformer, adapter_name=ADAPTER),
        save_function=write,
    )


def _settled(data: bytes) -> bytes:
    """A safetensors file with its metadata sorted: it comes in random order, and equal runs must give equal files.

    The header is JSON behind its length as a little-endian 64-bit number, padded with spaces to 8 bytes.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]
