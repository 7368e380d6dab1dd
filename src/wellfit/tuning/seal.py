"""The sha256 of a trial that has ended, kept with it in the study's storage: none counts that was changed there."""

import hashlib
import json
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import FrozenTrial

SHA256 = "sha256"  # of a trial, among its user attributes

_verified: WeakKeyDictionary[optuna.Study, dict[int, bool]] = WeakKeyDictionary()


def seal(trial: FrozenTrial) -> None:
    """Adds the sha256 of all else that is known of a trial, but of its times."""
    trial.set_user_attr(SHA256, _digest(trial))


def is_intact(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Whether a trial is as it was when it was sealed; of a trial of a study, found out once.

    Optuna reads a trial that has ended once, and 10,000 of them would take half a second before each proposal.

    Args:
        study: from which the trial was read.
        trial: that has ended, or is no trial of wellfit.
    """
    known = _verified.setdefault(study, {})
    if trial.number not in known:
        try:
            known[trial.number] = trial.user_attrs.get(SHA256) == _digest(trial)
        except (TypeError, ValueError):  # SQLite keeps text as a number
            known[trial.number] = False
    return known[trial.number]


def _digest(trial: FrozenTrial) -> str:
    # A database keeps a param as a number, or as that of a choice, and no sign of a zero.
    kinds = trial.distributions
    params = {key: kinds[key].to_external_repr(kinds[key].to_internal_repr(it)) for key, it in trial.params.items()}
    content = {
        "state": trial.state.name,
        "values": [value + 0.0 for value in trial.values or ()],
        "params": params,
        "intermediate_values": {epoch: value + 0.0 for epoch, value in trial.intermediate_values.items()},
        "user_attrs": {key: value for key, value in trial.user_attrs.items() if key != SHA256},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
