"""What makes two studies the same one: data, settings, and the code that trains."""

import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from wellfit.errors import WellfitError
from wellfit.settings.params import PARAMS_FILE, Params, flatten
from wellfit.training.record import code_digests, data_that_trains, resolved_config

# How many trials there are, where they are kept and how many are trained at once does not change what a trial is.
FREE = ("enabled", "n_trials", "timeout", "pack", "leaders", "repeats", "study", "storage")
# What proposes, trains and stops a trial; an edit elsewhere leaves its result as it is.
CODE = (
    *("data/augment", "data/meta.py", "data/store.py"),
    *("models", "training"),
    *("tuning/configuration.py", "tuning/covariance.py", "tuning/grid.py", "tuning/memory.py", "tuning/pack.py"),
    *("tuning/pruners.py", "tuning/running.py", "tuning/samplers.py", "tuning/space.py", "tuning/trials.py"),
    "tuning/waiting.py",
)


def study_config(params: Params) -> dict[str, Any]:
    """The settings that decide what the trials of a study are, in sections."""
    tune_section = params.model_dump(mode="json")["tune"]
    config = resolved_config(params)
    return config | {
        "data": data_that_trains(params),
        "tune": {key: value for key, value in tune_section.items() if key not in FREE},
    }


def identity(params: Params, data_sha256: str) -> dict[str, Any]:
    """All that two studies have in common to be one.

    Args:
        params: the configuration.
        data_sha256: of the data.

    Returns:
        Dotted keys of settings, ``data_sha256``, and under ``code`` the digest of each file of code.
    """
    return flatten(study_config(params)) | {"data_sha256": data_sha256, "code": code_digests(*CODE)}


def study_prefix(data_name: str, same: Mapping[str, Any]) -> str:
    """How the name of each study of the same data and settings begins, whatever the code."""
    return f"{data_name}-{_digest({key: value for key, value in same.items() if key != 'code'})[:12]}-"


def study_name(params: Params, data_name: str, same: Mapping[str, Any]) -> str:
    """``tune.study``, or a name that differs wherever the identity does."""
    return params.tune.study or study_prefix(data_name, same) + _digest(same["code"])[:6]


def check_identity(name: str, saved: dict[str, Any] | None, now: dict[str, Any]) -> None:
    """Checks that a study goes on as it began, and warns where the code has changed since.

    Args:
        name: of the study.
        saved: its identity, None where it has none.
        now: what it should be.

    Raises:
        WellfitError: data or settings differ; names the first difference and the way out.
    """
    way_out = f"give tune.study another name, or null ({PARAMS_FILE})"
    if saved is None:
        raise WellfitError(f"tune.study {name} is a study that wellfit did not begin; {way_out}")
    if "code" not in saved:
        raise WellfitError(f"tune.study {name} was made by an older version of wellfit; {way_out}")
    for key in [*now, *saved]:
        if key == "code" or now.get(key) == saved.get(key):
            continue
        if key == "data_sha256":
            raise WellfitError(f"tune.study {name} was made on other data; {way_out}")
        was, is_now = (_shown(each, key) for each in (saved, now))
        raise WellfitError(f"tune.study {name} was made with {key} {was}, which is {is_now} now; go back, or {way_out}")
    if changed := changed_files(saved, now):
        text = f"warning: tune.study {name} goes on with other code than it began with ({changed}); to begin anew, "
        print(text + way_out, file=sys.stderr, flush=True)


def changed_files(saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The files whose code differs between two identities, those that only one has included; empty: there is none."""
    was, is_now = saved.get("code", {}), now["code"]
    changed = [file for file in sorted({*was, *is_now}) if was.get(file) != is_now.get(file)]
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    return ", ".join(changed[:5]) + more


def _shown(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "not set"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
