"""Rules as data: what each depends on, and that no message decides anything."""

from operator import attrgetter
from pathlib import Path
from string import Formatter
from typing import Any, cast

import pytest

from wellfit.config import DataKind, Rule
from wellfit.data.catalog import CATALOG
from wellfit.errors import WellfitError
from wellfit.settings import rules
from wellfit.settings.params import Params, flatten, load_params

from .test_params_values import CONTRADICTIONS

SHIPPED = Path(__file__).parents[2] / "params.yaml"
TASKS = ("classification", "regression", None)


class Recorder:
    """Stands for a configuration, a section of it, or `DataKind`, and notes the keys that are read."""

    def __init__(self, value: Any, prefix: str, read: set[str]) -> None:
        self._value, self._prefix, self._read = value, prefix, read

    def __getattr__(self, name: str) -> Any:
        if isinstance(self._value, DataKind):
            self._read |= {"data.name", "data.task"} if name in ("task", "classes") else {"data.name"}
            return getattr(self._value, name)
        if not self._prefix:
            return Recorder(getattr(self._value, name), f"{name}.", self._read)
        if name in type(self._value).model_fields:
            self._read.add(self._prefix + name)
            return getattr(self._value, name)
        computed = getattr(type(self._value), name).fget  # a property, which reads keys in its turn
        return computed(self)


def keys_read(rule: Rule, params: Params, kind: DataKind) -> set[str]:
    read: set[str] = set()
    recorded = cast(Params, Recorder(params, "", read)), cast(DataKind, Recorder(kind, "", read))
    rule.is_broken(*recorded)
    said = {name for _, name, *_ in Formatter().parse(rule.text) if name}
    for section, _, name in (field.partition(".") for field in said - {"task", "classes"}):
        attrgetter(name)(getattr(recorded[0], section))
    return read


@pytest.fixture(scope="module")
def configurations() -> list[tuple[Params, DataKind]]:
    """The shipped configuration and every one that breaks a rule, for each task."""
    shipped = load_params(SHIPPED, ["tune.enabled=false", "tune.space={}"])
    found = []
    for overrides, _ in [([], ""), *CONTRADICTIONS]:
        params = shipped
        for section, values in changed_sections(overrides).items():
            config = getattr(params, section)
            params = params.model_copy(
                update={section: type(config).model_validate(config.model_dump() | values)}  # without rules of two keys
            )
        kind = CATALOG[params.data.name].kind
        found += [(params, DataKind(kind, cast(Any, task), 3 * (task == "classification"))) for task in TASKS]
    return found


def changed_sections(overrides: list[str]) -> dict[str, dict[str, Any]]:
    from wellfit.settings.parse import parse_override

    sections: dict[str, dict[str, Any]] = {}
    for key, value in map(parse_override, overrides):
        section, name = key.split(".")
        sections.setdefault(section, {})[name] = value
    sections.pop("tune", None)
    return sections


NUMBERED = [pytest.param(rule, id=f"{number}-{rule.keys[0]}") for number, rule in enumerate(rules.RULES)]


@pytest.mark.parametrize("rule", NUMBERED)
def test_a_rule_reads_the_keys_that_it_names(rule: Rule, configurations: list[tuple[Params, DataKind]]) -> None:
    read = set().union(*(keys_read(rule, *each) for each in configurations))
    assert read == set(rule.keys)


@pytest.mark.parametrize("rule", NUMBERED)
def test_each_rule_is_broken_by_some_configuration(rule: Rule, configurations: list[tuple[Params, DataKind]]) -> None:
    messages = {rule.message(*each) for each in configurations if rule.is_broken(*each)}
    assert messages
    assert all(len(message.splitlines()) == 1 for message in messages)


def test_keys_of_rules_are_keys_of_params() -> None:
    known = set(flatten(load_params(SHIPPED).model_dump()))
    assert {key for rule in rules.RULES for key in rule.keys} <= known


SPACES = [
    ["model.norm=[batch, instance]"],
    ["train.epochs=[2, 40]"],
    ["train.epochs=[2, 40]", "schedule.warmup_epochs=[0, 2]"],
    ["loss.name=[cross_entropy, mse]"],
    ["model.norm=[batch, group]", "model.hidden=[[66], [128]]"],
    ["model.groups=[3, 4]"],
    ["model.channel_dropout=[0.0, 0.1]"],
    ["optim.name=[adamw, adam]", "optim.decay=[auto, coupled]"],
    ["optim.name=[adamw, lamb]"],
]


def is_refused(space: list[str]) -> bool:
    try:
        load_params(SHIPPED, ["model.norm=group", *(f"tune.space.{entry}" for entry in space)])
    except WellfitError:
        return True
    return False


def test_other_words_in_messages_refuse_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [is_refused(space) for space in SPACES]
    assert {True, False} == set(before)
    for words in ("reworded", " ".join(flatten(load_params(SHIPPED).model_dump()))):  # no key, and every key
        reworded = [rule._replace(text=words) for rule in rules.RULES]
        monkeypatch.setattr(rules, "RULES", reworded)
        assert [is_refused(space) for space in SPACES] == before


@pytest.mark.parametrize(
    ("space", "message"),
    [
        # What a message recommends, model.dropout, is searched in the shipped file: that excuses nothing.
        (["model.channel_dropout=[0.0, 0.1]"], "tune.space.model.channel_dropout 0.1: model.channel_dropout is for"),
        # Widths of another network do not matter.
        (["model.groups=[3, 4]", "model.channels=[[32], [64]]"], "tune.space.model.groups 3: model.groups must divide"),
    ],
)
def test_only_keys_on_which_a_rule_depends_excuse_a_value(space: list[str], message: str) -> None:
    with pytest.raises(WellfitError) as caught:
        load_params(SHIPPED, ["model.norm=group", *(f"tune.space.{entry}" for entry in space)])
    assert str(caught.value).startswith(message)


def test_a_rule_of_a_key_that_is_searched_as_well_may_be_kept_by_another_value_of_it() -> None:
    spaces = ["tune.space.model.groups=[3, 4]", "tune.space.model.name=[mlp, linear]"]
    load_params(SHIPPED, ["model.norm=group", *spaces])
