"""The ways things go wrong that have a name: wrong input, a training that diverges, is interrupted or times out."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """Input that a user can mend: one line that says the rule, what came, from where, and the remedy.

    The command line prints it without a traceback and exits with 1.
    """


class Torn(UserError):
    """A document that a crash or a disk left in pieces: what it said can be made again."""


class OtherVersion(UserError):
    """A document that is whole, but that another version of agsgtl wrote: nothing of it is lost, and nothing may be moved."""


class Interrupted(Exception):
    """A trial was told to stop, or a later attempt has taken it over; it is not over and leaves no record."""


class TimedOut(Exception):
    """A trial ran longer than the experiment allows; it ends as `failed: timeout`, unless a retry is left."""


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


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 1, 6, 80, 80


def shown(value: Any) -> str:
    """A value as errors show it: its beginning. What a few aliases in YAML unfold to without end is never spelled out whole.

    >>> shown([1, 2, 3, 4, 5, 6, 7, 8])
    '[1, 2, 3, 4, 5, 6, ...]'
    >>> shown({"seeds": [0, 1]})
    "{'seeds': [...]}"
    """
    return _SHORT.repr(value)
