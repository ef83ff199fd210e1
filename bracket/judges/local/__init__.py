"""A vision-language model in this process, through transformers."""

__all__ = ["qwen_vl"]
