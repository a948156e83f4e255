"""The two ways things go wrong: the user's input is wrong, or a training diverged."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Input that a user can mend: one line that says the rule, what came, from where, and the remedy.

    The command line prints it without a traceback and exits with 1.
    """


class Diverged(Exception):
    """A loss or a score of a training was NaN or infinite; the trial ends as `failed: diverged`."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause that names the closest known word, or lists all of them where none is close.

    >>> did_you_mean("los.adversarial", ["loss.adversarial", "loss.entropy"])
    "did you mean 'loss.adversarial'?"
    >>> did_you_mean("xyz", ["a", "b"])
    'known: a, b'
    """
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(choices)
