"""Reads ``params.yaml`` into one frozen, validated object.

The sections are declared beside the code that uses them; this module composes them, checks what concerns two of them
at once, and turns every mistake into one line that says the rule, the value and the key.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar, get_args

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails

from wellfit.config import Config
from wellfit.data.catalog import CATALOG, Kind, Task
from wellfit.data.config import DataConfig, FetchConfig
from wellfit.errors import WellfitError
from wellfit.metrics.config import EvaluateConfig
from wellfit.models.config import ModelConfig
from wellfit.settings.contradictions import contradictions
from wellfit.settings.parse import AS_IN_FILE, parse_override, read_yaml
from wellfit.training.config import (
    LossConfig,
    LrFindConfig,
    OptimConfig,
    RegularizeConfig,
    ScheduleConfig,
    TrackConfig,
    TrainConfig,
)
from wellfit.tuning.samplers import SAMPLERS
from wellfit.tuning.space import NOT_SEARCHED, SEARCHED_SECTIONS, Interval, TuneConfig, ends, number_type

PARAMS_FILE = "params.yaml"
C = TypeVar("C", bound=Config)


class Params(Config):
    """All of ``params.yaml``."""

    data: DataConfig
    fetch: FetchConfig
    model: ModelConfig
    loss: LossConfig
    regularize: RegularizeConfig
    optim: OptimConfig
    schedule: ScheduleConfig
    train: TrainConfig
    track: TrackConfig
    lr_find: LrFindConfig
    tune: TuneConfig
    evaluate: EvaluateConfig

    @model_validator(mode="after")
    def _agree(self) -> Self:
        entry = CATALOG[self.data.name]
        task: Task | None = entry.task
        if self.data.task == "classification" or self.data.task == "regression":
            task = self.data.task
        for fault in _faults(self, entry.kind, task):
            raise ValueError(fault)
        return self

    def check_task(self, kind: Kind, task: Task) -> None:
        """Checks what could not be checked before it was known what the user's own data are.

        Args:
            kind: images or table.
            task: classification or regression.

        Raises:
            WellfitError: a key that does not fit them.
        """
        for fault in _faults(self, kind, task):
            raise WellfitError(f"{fault} ({PARAMS_FILE})")

    def replace(
        self, changes: Mapping[str, Any], source: str | Mapping[str, str] = PARAMS_FILE, file: str = PARAMS_FILE
    ) -> "Params":
        """A copy with other values, validated like the file.

        Args:
            changes: dotted key to new value, such as ``{"optim.lr": 0.01}``.
            source: where they come from, or where each of them does, for the message.
            file: where all others come from, likewise.

        Raises:
            WellfitError: an unknown key, or a value that breaks a rule.
        """
        sources = dict.fromkeys(changes, source) if isinstance(source, str) else source
        tree = self.model_dump()
        for key, value in changes.items():
            _assign(tree, key, value, sources[key])
        return validate(Params, tree, file, sources)

    def flat(self) -> dict[str, Any]:
        """Dotted keys and values, as MLflow logs them."""
        return flatten(self.model_dump(mode="json"))


def _faults(params: Params, kind: Kind, task: Task | None) -> Iterator[str]:
    """What is wrong with keys that concern each other: those of a configuration, and those of ``tune.space``."""
    yield from (rule for broken, rule in contradictions(params, kind, task) if broken)
    for key, entry in params.tune.searched.items():
        yield from _space_faults(params, key, entry, kind, task)


def _space_faults(
    params: Params, key: str, entry: Interval | list[Any], kind: Kind, task: Task | None
) -> Iterator[str]:
    """What is wrong with a key of ``tune.space``: what may be tried keeps the rules that the key itself has."""
    place = f"tune.space.{key}"
    section, _, name = key.partition(".")
    config = getattr(params, section, None)
    if section in Params.model_fields and section not in SEARCHED_SECTIONS:
        yield f"{place} cannot be searched: only {', '.join(SEARCHED_SECTIONS)} decide what a model becomes"
        return
    if not isinstance(config, Config) or name not in type(config).model_fields:
        yield _unknown(place, known=[f"tune.space.{known}" for known in _known_keys() if "." in known])
        return
    if key in NOT_SEARCHED:
        yield f"{place} cannot be searched: {NOT_SEARCHED[key]}"
        return
    if isinstance(entry, Interval):
        number = number_type(config, name)
        if number is None:
            yield f"{place} must be a list of choices, for {key} takes no numbers"
        elif number is int and entry.step is not None and not entry.step.is_integer():
            yield f"{place}.step must be a whole number, got {entry.step:g}"
        elif number is float and entry.step is None and SAMPLERS[params.tune.sampler].needs_steps:
            yield f"{place} must be a list of choices, or have a step, for tune.sampler grid"
    others = [other for other in params.tune.searched if other != key]
    for end, value in ends(entry):
        try:
            changed = type(config).model_validate(dict(config) | {name: value})
        except ValidationError as error:
            yield f"{place}{end} {_rule(error.errors()[0])}"
            return
        for broken, rule in contradictions(params.model_copy(update={section: changed}), kind, task):
            # With another value of a key that is searched as well, it may be right.
            if broken and params.tune.enabled and not any(re.search(rf"{re.escape(o)}\b", rule) for o in others):
                yield f"{place}{end} {_shown(value)}: {rule}"


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def load_params(path: str | Path = PARAMS_FILE, overrides: Sequence[str] = ()) -> Params:
    """Reads and validates a params file.

    Args:
        path: the file.
        overrides: ``KEY=VALUE`` texts that replace values of the file; VALUE is YAML, and an empty one means 'as in the
            file'. A value given here is final: its key leaves ``tune.space``.

    Raises:
        WellfitError: one line for the first mistake found.
    """
    tree = read_yaml(Path(path))
    sources = {}
    for text in overrides:
        key, value = parse_override(text)
        if value is AS_IN_FILE:
            continue
        _assign(tree, key, value, "--set")
        sources[key] = "--set"
        _stop_searching(tree, key)
    return validate(Params, tree, str(path), sources)


def validate(model: type[C], tree: dict[str, Any], path: str, sources: Mapping[str, str] = MappingProxyType({})) -> C:
    """A configuration from what a file says.

    Args:
        model: what it should be.
        tree: what the file says, changes included.
        path: of the file, for the message.
        sources: where changed keys come from, likewise.

    Raises:
        WellfitError: one line for the first mistake found.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        # A key that is misspelt is also one that is missing: its own name says more.
        errors = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        raise WellfitError(_one_line(errors[0], path, sources, model)) from None


def _stop_searching(tree: dict[str, Any], key: str) -> None:
    space: Any = tree.get("tune", {}).get("space") if isinstance(tree.get("tune"), dict) else None
    section, _, name = key.partition(".")
    keys = space.get(section) if isinstance(space, dict) else None
    if isinstance(keys, dict) and name in keys:
        keys[name] = None


def _assign(tree: dict[str, Any], key: str, value: Any, source: str) -> None:
    *parents, last = key.split(".")
    node: Any = tree
    may_be_new = re.fullmatch(r"tune\.space\.(\w+\.\w+)(\.(low|high|step|log))?", key)
    is_new = may_be_new is not None and may_be_new[1] in _known_keys()
    for name in parents:
        if is_new and isinstance(node, dict) and node.get(name) is None:
            node[name] = {}
        node = node.get(name) if isinstance(node, dict) else None
    if not isinstance(node, dict) or (last not in node and not is_new):
        raise WellfitError(f"{_unknown(key, known=flatten(tree))} ({source})")
    node[last] = value


def _one_line(error: ErrorDetails, path: str, sources: Mapping[str, str], model: type[Config]) -> str:
    """pydantic's error as ``KEY RULE, got VALUE (SOURCE)``."""
    loc = [str(part) for part in error["loc"] if not str(part).startswith("[")]
    key = ".".join(loc)
    source = next((s for k, s in sources.items() if key == k or key.startswith(k + ".")), path)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden" or error["loc"][-1:] == ("[key]",):
        return f"{_unknown(key, known=_known_keys(model), model=model)} ({source})"
    if kind == "missing":
        return f"{key} is missing ({source})"
    if kind == "value_error":  # our own checks: their text says it all
        text = str(context["error"])
        return f"{key + ': ' if key else ''}{text} ({', '.join([path, *sorted(set(sources.values()))])})"
    return f"{key} {_rule(error)} ({source})"


def _rule(error: ErrorDetails) -> str:
    """pydantic's error as ``RULE, got VALUE``."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    rules = {
        "greater_than": "must be > {gt}",
        "greater_than_equal": "must be >= {ge}",
        "less_than": "must be < {lt}",
        "less_than_equal": "must be <= {le}",
        "finite_number": "must be a finite number",
        "literal_error": "must be one of {expected}",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "bool_type": "must be true or false",
        "string_type": "must be text",
        "tuple_type": "must be a list",
        "dict_type": "must be a section with keys below it",
        "model_type": "must be a section with keys below it",
        "too_short": "must have at least {min_length} entries",
        "too_long": "must have at most {max_length} entries",
        "string_too_short": "must not be empty",
    }
    rule_text = rules.get(kind, error["msg"][:1].lower() + error["msg"][1:]).format(**context).replace("'", "")
    return f"{rule_text}, got {_shown(value)}{_hint(value, context.get('expected', ''))}"


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _hint(value: Any, expected: str) -> str:
    choices = [part.strip(" '") for part in expected.replace(" or ", ",").split(",") if part]
    close = difflib.get_close_matches(str(value), choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _unknown(key: str, known: Iterable[str], model: type[Config] = Params) -> str:
    nearest = _nearest_key(key, list(known))
    if model is not Params:
        return f"{key} is not a key; " + (f"did you mean {nearest}?" if nearest else f"there are {', '.join(known)}")
    section = key.split(".")[0]
    siblings = [k for k in _known_keys() if k.startswith(f"{section}.")]
    listed = f"{section} has {', '.join(siblings)}" if siblings else f"sections are {', '.join(Params.model_fields)}"
    hint = f"did you mean {nearest}?" if nearest else listed
    return f"{key} is not a key of params.yaml; {hint}"


def _nearest_key(key: str, known: list[str]) -> str | None:
    """What was probably meant: a like name in the same section, the same name elsewhere, or a like key anywhere."""
    parent, _, name = key.rpartition(".")
    siblings = {k.rpartition(".")[2]: k for k in known if k.rpartition(".")[0] == parent}
    by_name = {k.rpartition(".")[2]: k for k in reversed(known)}
    if close := difflib.get_close_matches(name, list(siblings), n=1):
        return siblings[close[0]]
    if name in by_name:
        return by_name[name]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    return close[0] if close else None


def _known_keys(model: type[Config] = Params, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(f"{prefix}{name}")
        for nested in (field.annotation, *get_args(field.annotation)):  # the latter for `Section | None`
            if isinstance(nested, type) and issubclass(nested, Config):
                keys += _known_keys(nested, f"{prefix}{name}.")
    return keys
