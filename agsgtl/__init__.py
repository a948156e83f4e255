"""Distributed hyperparameter search for attention-guided semi-supervised transfer between hyperspectral scenes."""

__version__ = "0.1.0"
