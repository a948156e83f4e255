"""The command line: arguments and what is printed, nothing else."""

from agsgtl.cli.app import main

__all__ = ["main"]
