"""The model and what is trained on it: parts, LoRA, losses, optimisers."""

__all__ = ["klein", "lora", "losses", "optimizers"]
