"""What to try next: knob spaces and samplers (Optuna's, where Optuna has them)."""
