"""Which of torchrun's processes this one is, by the variables that torchrun sets."""

import os
from typing import NamedTuple

from wellfit.errors import WellfitError

NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
ELASTIC = "TORCHELASTIC_RUN_ID"  # set by torchrun alone; clusters set WORLD_SIZE for other purposes, too


class Place(NamedTuple):
    """The place of a process among those that train together.

    Attributes:
        rank: 0 for the process that writes and speaks.
        local_rank: likewise, among those of this machine.
        size: number of processes.
    """

    rank: int = 0
    local_rank: int = 0
    size: int = 1


def place() -> Place:
    """The place of this process; where it is the only one, that of rank 0.

    Raises:
        WellfitError: a variable is missing, or not a number.
    """
    size = _number("WORLD_SIZE") if "WORLD_SIZE" in os.environ else 1
    if size == 1:
        return Place()
    if missing := [name for name in NEEDED if name not in os.environ]:
        raise WellfitError(
            f"WORLD_SIZE is {size}, but {missing[0]} is not set: start the training with torchrun, or unset WORLD_SIZE"
        )
    return Place(_number("RANK"), _number("LOCAL_RANK"), size)


def is_follower() -> bool:
    """Whether torchrun started this process beside one of rank 0."""
    return ELASTIC in os.environ and os.environ.get("RANK", "0") != "0"


def check_alone(command: str) -> None:
    """Refuses a command that several processes cannot share.

    Raises:
        WellfitError: torchrun started more than one process.
    """
    if ELASTIC in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        raise WellfitError(f"torchrun is for train: start {command} without it")


def _number(name: str) -> int:
    text = os.environ[name]
    if not text.isdecimal():
        raise WellfitError(f"{name} must be a number, got {text}; torchrun sets it")
    return int(text)
