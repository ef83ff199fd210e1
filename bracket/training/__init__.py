"""The built-in trainer: a program of its own (`python -m bracket.training`) that nothing else imports."""
