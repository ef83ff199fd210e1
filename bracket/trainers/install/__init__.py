"""Installs and updates the trainers that bracket drives, each with a venv of its own, when someone asks for it."""

from __future__ import annotations

from bracket.trainers.install.steps import Progress, Wish, install, install_folder, update

__all__ = ["Progress", "Wish", "install", "install_folder", "update"]
