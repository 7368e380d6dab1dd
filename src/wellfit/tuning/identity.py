"""What makes two studies the same one: data, settings, and the code that trains."""

import hashlib
import json
from typing import Any

from wellfit.errors import WellfitError
from wellfit.settings.params import PARAMS_FILE, Params, flatten
from wellfit.training.record import code_sha256, data_that_trains, resolved_config

# How many trials there are, where they are kept and how many are trained at once does not change what a trial is.
FREE = ("enabled", "n_trials", "timeout", "pack", "repeats", "study", "storage")


def study_config(params: Params) -> dict[str, Any]:
    """The settings that decide what the trials of a study are, in sections."""
    tune_section = params.model_dump(mode="json")["tune"]
    config = resolved_config(params)
    return config | {
        "data": data_that_trains(params),
        "tune": {key: value for key, value in tune_section.items() if key not in FREE},
    }


def identity(params: Params, data_sha256: str) -> dict[str, Any]:
    """All that two studies must have in common to be one: dotted keys of settings, the data's digest and the code's."""
    code = code_sha256("data", "models", "training", "tuning")
    return flatten(study_config(params)) | {"data_sha256": data_sha256, "code_sha256": code}


def study_name(params: Params, data_name: str, same: dict[str, Any]) -> str:
    """``tune.study``, or a name that differs wherever the identity does."""
    digest = hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()
    return params.tune.study or f"{data_name}-{digest[:12]}"


def check_identity(name: str, saved: dict[str, Any] | None, now: dict[str, Any]) -> None:
    """Sees to it that a study goes on as it began.

    Args:
        name: of the study.
        saved: its identity, None where it has none.
        now: what it should be.

    Raises:
        WellfitError: they differ; names the first difference and the way out.
    """
    way_out = f"give tune.study another name, or null ({PARAMS_FILE})"
    if saved is None:
        raise WellfitError(f"tune.study {name} is a study that wellfit did not begin; {way_out}")
    for key in [*now, *saved]:
        if now.get(key) == saved.get(key):
            continue
        if key == "data_sha256":
            raise WellfitError(f"tune.study {name} was made on other data; {way_out}")
        if key == "code_sha256":
            raise WellfitError(f"tune.study {name} was made by another version of wellfit; {way_out}")
        was, is_now = (_said(each, key) for each in (saved, now))
        raise WellfitError(f"tune.study {name} was made with {key} {was}, which is {is_now} now; go back, or {way_out}")


def _said(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "not set"
