"""How many trials of one study are asked ahead, and what its asks therefore do not see.

With `order: fixed` trial n is asked from the trials up to n - c. All studies of an experiment share its slots, so a study needs
no more than its part of them to keep all busy; each trial more that is asked ahead is a trial asked with less knowledge.
"""

from __future__ import annotations

import math

from agsgtl.tuning.experiment import Experiment
from agsgtl.tuning.jobs import JobQueue, study_names

FEWEST = 2
"""So many are asked ahead at least, where there are as many slots: a study that is alone at the end leaves few of them idle."""

LARGE_PART = 0.25
"""More than this part of a search asked ahead is worth a warning: with the ten startup trials of the default 40 it is half a search."""


def concurrency_of(experiment: Experiment, slots: int) -> int:
    """How many trials of each study run at once, for an experiment that starts on so many slots; with `order: fixed` it is stored then.

    With `order: async` every slot may go to one study: an ask sees all that has ended by then.
    """
    if experiment.file.search.order == "async":
        return slots
    studies = max(1, len(study_names(experiment)))
    return min(slots, max(FEWEST, math.ceil(slots / studies)))


def follow_slots(queue: JobQueue, slots: int) -> None:
    """Lets a search that goes on use the slots of this start where no ask depends on how many there were at the first one."""
    if queue.experiment.file.search.order == "async":
        queue.ask_ahead(concurrency_of(queue.experiment, slots))


def warnings_of(experiment: Experiment, concurrency: int) -> tuple[str, ...]:
    """What the sweep, its dry run and its tables say where a large part of each search knows no score; nothing otherwise."""
    search = experiment.file.search
    is_blind_anyhow = search.sampler == "random" and search.scheduler == "none"
    if not experiment.spaces or search.order != "fixed" or is_blind_anyhow:
        return ()
    if concurrency <= max(FEWEST, LARGE_PART * search.trials):
        return ()
    return (
        f"with search.order fixed an ask sees only trials that lie at least {concurrency} before it: the first "
        f"{min(concurrency, search.trials)} of each study's {search.trials} trials knew no score, each later one not the "
        f"{concurrency - 1} before it; a search on fewer slots, or with order: async, knows more",
    )
