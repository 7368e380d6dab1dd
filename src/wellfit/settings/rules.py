"""The rules of all sections, and what they say of a configuration and of the values that ``tune.space`` may try."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from wellfit.config import Config, DataKind
from wellfit.data import settings as data
from wellfit.metrics import intervals
from wellfit.models import TIMM
from wellfit.models import rules as model
from wellfit.settings.messages import known_keys, rule_of, shown, unknown_key
from wellfit.training import loss, members, optim, regularize, schedule
from wellfit.tuning.samplers import SAMPLERS
from wellfit.tuning.space import NOT_SEARCHED, SEARCHED_SECTIONS, Interval, ends, number_type

if TYPE_CHECKING:
    from wellfit.settings.params import Params

# In the order in which they are checked.
RULES = [
    rule for section in (data, model, loss, members, regularize, optim, schedule, intervals) for rule in section.RULES
]


def faults(params: Params, kind: DataKind) -> Iterator[str]:
    """What is wrong with keys that depend on each other: those of a configuration, and those of ``tune.space``."""
    for rule in RULES:
        if rule.is_broken(params, kind):
            yield rule.message(params, kind)
    for key, entry in params.tune.searched.items():
        yield from _space_faults(params, key, entry, kind)


def _space_faults(params: Params, key: str, entry: Interval | list[Any], kind: DataKind) -> Iterator[str]:
    """What is wrong with a key of ``tune.space``: what may be tried keeps the rules that the key itself has."""
    place = f"tune.space.{key}"
    section, _, name = key.partition(".")
    config = getattr(params, section, None)
    if section in type(params).model_fields and section not in SEARCHED_SECTIONS:
        yield f"{place} cannot be searched: only {', '.join(SEARCHED_SECTIONS)} decide what a model becomes"
        return
    if not isinstance(config, Config) or name not in type(config).model_fields:
        known = [f"tune.space.{known}" for known in known_keys(type(params)) if "." in known]
        yield unknown_key(place, known, type(params))
        return
    if key in NOT_SEARCHED:
        yield f"{place} cannot be searched: {NOT_SEARCHED[key]}"
        return
    names = [params.model.name, *(str(value) for _, value in ends(entry))]
    if key == "model.name" and any(name.startswith(TIMM) for name in names):
        yield f"{place} cannot name networks of timm: weights are fetched and features are computed before the study"
        return
    if isinstance(entry, Interval):
        number = number_type(config, name)
        if number is None:
            yield f"{place} must be a list of choices, for {key} takes no numbers"
        elif number is int and entry.step is not None and not entry.step.is_integer():
            yield f"{place}.step must be a whole number, got {entry.step:g}"
        elif number is float and entry.step is None and SAMPLERS[params.tune.sampler].needs_steps:
            yield f"{place} must be a list of choices, or have a step, for tune.sampler grid"
    # With another value of a key that is searched as well, a rule may be kept.
    others = params.tune.searched.keys() - {key}
    rules = [rule for rule in RULES if key in rule.keys and not others.intersection(rule.keys)]
    for end, value in ends(entry):
        try:
            changed = type(config).model_validate(dict(config) | {name: value})
        except ValidationError as error:
            yield f"{place}{end} {rule_of(error.errors()[0])}"
            return
        tried = params.model_copy(update={section: changed})
        for rule in rules if params.tune.enabled else ():
            if rule.is_broken(tried, kind):
                yield f"{place}{end} {shown(value)}: {rule.message(tried, kind)}"
