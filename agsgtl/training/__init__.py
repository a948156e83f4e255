"""The trainers: pre-training, the adversarial adaptation and the baselines."""

TRAINER_VERSION = 2
"""Raised by hand whenever a change alters what a trial gives; `tests/training/test_trainer_version.py` guards it."""
