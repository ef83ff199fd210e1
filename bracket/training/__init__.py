"""The built-in trainer: a program of its own (`python -m bracket.training`). Nothing outside this package imports it."""
