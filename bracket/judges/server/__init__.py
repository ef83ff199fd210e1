"""A vision-language model on any OpenAI-compatible server."""

__all__ = ["addresses", "openai_api"]
