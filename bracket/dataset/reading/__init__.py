"""What a person's folder holds: pictures, captions, dataset files of other trainers, and what of it is left unused."""

__all__ = ["description", "headers", "keys", "layout", "media", "prompts", "scanning"]
