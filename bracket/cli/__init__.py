"""The command line: `app` has its verbs, the other files what the larger ones do; `text` says what sessions came to."""

__all__ = ["app"]
