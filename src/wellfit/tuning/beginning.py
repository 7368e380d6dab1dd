"""The begin of a study, which several workers may open at once."""

import random
import time
import uuid
from collections.abc import Mapping
from typing import Any

import optuna

from wellfit.interruptions import deferred
from wellfit.tuning.storage import IDENTITY

CLAIM = "begin "
SECONDS = 10.0  # after which a claim means nothing: its worker has died


def begin(saved: optuna.Study, attributes: Mapping[str, Any]) -> bool:
    """Gives a study that has neither identity nor trials its attributes, in one worker.

    Each writes a claim and reads after it. Those that claim at once see each other, and try again after a moment that
    chance decides: not every storage has a lock.

    Args:
        saved: as it is kept in the storage.
        attributes: the last is the identity, which says that all are there.

    Returns:
        Whether it was this worker.
    """
    chance, claim = random.SystemRandom(), CLAIM + uuid.uuid4().hex[:12]
    while IDENTITY not in saved.user_attrs and not saved.get_trials(deepcopy=False):
        with deferred():  # cut short, it could leave the journal's lock behind
            saved.set_user_attr(claim, time.time() + SECONDS)
            known = saved.user_attrs
            claims = [until for key, until in known.items() if key.startswith(CLAIM) and key != claim and until]
            is_free = IDENTITY not in known and not any(time.time() < until for until in claims)
            if is_free:
                for key, value in attributes.items():
                    saved.set_user_attr(key, value)
            saved.set_user_attr(claim, None)
        if is_free:
            return True
        time.sleep(chance.uniform(0.02, 0.3))
    return False
