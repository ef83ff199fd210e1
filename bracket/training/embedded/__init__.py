"""How the embedded base and its scorer were made: `python -m bracket.training.embedded vae|base|scorer|check`.

They were trained once and are shipped under `presets/embedded/`; nobody needs to run this to use bracket.
"""
