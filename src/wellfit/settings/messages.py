"""Mistakes in ``params.yaml`` and in files like it, each as one line: the rule, the value, the key."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic_core import ErrorDetails

from wellfit.config import Config


def one_line(
    error: ErrorDetails, path: str, sources: Mapping[str, str], model: type[Config], params: type[Config]
) -> str:
    """pydantic's error as ``KEY RULE, got VALUE (SOURCE)``.

    Args:
        error: of the validation.
        path: of the file.
        sources: dotted key to where it comes from, where that is not the file.
        model: what the file should be.
        params: what ``params.yaml`` should be.
    """
    loc = [str(part) for part in error["loc"] if not str(part).startswith("[")]
    key = ".".join(loc)
    source = next((s for k, s in sources.items() if key == k or key.startswith(k + ".")), path)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden" or error["loc"][-1:] == ("[key]",):
        known = known_keys(model)
        if model is params:
            return f"{unknown_key(key, known, params)} ({source})"
        nearest = _nearest_key(key, known)
        hint = f"did you mean {nearest}?" if nearest else f"there are {', '.join(known)}"
        return f"{key} is not a key; {hint} ({source})"
    if kind == "missing":
        return f"{key} is missing ({source})"
    if kind == "value_error":  # our own checks: their text says it all
        text = str(context["error"])
        return f"{key + ': ' if key else ''}{text} ({', '.join([path, *sorted(set(sources.values()))])})"
    return f"{key} {rule_of(error)} ({source})"


def rule_of(error: ErrorDetails) -> str:
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
    return f"{rule_text}, got {shown(value)}{_hint(value, context.get('expected', ''))}"


def shown(value: Any) -> str:
    """A value for a message, cut where it is long."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def unknown_key(key: str, known: Iterable[str], params: type[Config]) -> str:
    """What to say of a key that ``params.yaml`` does not have.

    Args:
        key: dotted.
        known: the keys that it may have been meant for.
        params: what ``params.yaml`` should be.
    """
    section = key.split(".")[0]
    siblings = [k for k in known_keys(params) if k.startswith(f"{section}.")]
    listed = f"{section} has {', '.join(siblings)}" if siblings else f"sections are {', '.join(params.model_fields)}"
    nearest = _nearest_key(key, list(known))
    hint = f"did you mean {nearest}?" if nearest else listed
    return f"{key} is not a key of params.yaml; {hint}"


def known_keys(model: type[Config], prefix: str = "") -> list[str]:
    """Dotted keys of a configuration, sections included, in their order."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(f"{prefix}{name}")
        for nested in (field.annotation, *get_args(field.annotation)):  # the latter for `Section | None`
            if isinstance(nested, type) and issubclass(nested, Config):
                keys += known_keys(nested, f"{prefix}{name}.")
    return keys


def _hint(value: Any, expected: str) -> str:
    choices = [part.strip(" '") for part in expected.replace(" or ", ",").split(",") if part]
    close = difflib.get_close_matches(str(value), choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


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
