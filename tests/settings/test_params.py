"""The file, and the object made of it."""

import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from wellfit.config import Config, OneOf
from wellfit.errors import WellfitError
from wellfit.settings.params import Params, flatten, load_params, validate
from wellfit.tuning.space import Interval

SHIPPED = Path(__file__).parents[2] / "params.yaml"
TEXT = SHIPPED.read_text(encoding="utf-8")
TREE = YAML(typ="safe", pure=True).load(TEXT)
KEYS = list(flatten(TREE))

Edit = Callable[..., Path]


@pytest.fixture(scope="session")
def params() -> Params:
    return load_params(SHIPPED)


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """A params.yaml like the shipped one, but with another line, or none, for a dotted key."""

    def edit(key: str, line: str | None) -> Path:
        lines = TEXT.splitlines()
        number = line_number(key)
        entries = itertools.takewhile(lambda text: text.lstrip().startswith("- "), lines[number + 1 :])
        lines[number : number + 1 + len(list(entries))] = [line or ""]
        path = tmp_path / "params.yaml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return edit


def line_number(key: str) -> int:
    """Where a dotted key, or the parent that holds it in braces, stands in params.yaml."""
    open_keys: list[str] = []
    found = None
    for number, line in enumerate(TEXT.splitlines()):
        if match := re.match(r"( *)(\w+):", line):
            open_keys[len(match[1]) // 2 :] = [match[2]]
            if (key + ".").startswith(".".join(open_keys) + "."):
                found = number
    assert found is not None, key
    return found


def mistake(path: Path) -> str:
    with pytest.raises(WellfitError) as caught:
        load_params(path)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


def leaf_fields(model: type[Config] = Params, prefix: str = "") -> dict[str, FieldInfo]:
    leaves: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Config):
            leaves |= leaf_fields(annotation, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = field
    return leaves


def names_of(field: FieldInfo) -> tuple[str, ...]:
    """What may stand in a key that has a fixed set of values."""
    tables = [each.names for each in field.metadata if isinstance(each, OneOf)]
    literals = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return tuple(*tables) or literals


CHOICES = {key: names for key, field in leaf_fields().items() if (names := names_of(field))}


def test_the_shipped_file_is_valid_and_says_what_it_says(params: Params) -> None:
    assert params.flat() == flatten(TREE)
    assert isinstance(params.model.hidden, tuple)


def test_importing_params_does_not_import_what_is_slow() -> None:
    slow = "{'torch', 'mlflow', 'pandas', 'optuna', 'sklearn', 'matplotlib'}"
    code = f"import sys, wellfit.settings.params; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


# What params.yaml tells its reader


def comment_of(key: str) -> str:
    """The comment on a key's line and the lines of comment below, or on that of the key it stands below."""
    parts = key.split(".")
    for depth in range(len(parts), 1, -1):
        first, *rest = TEXT.splitlines()[line_number(".".join(parts[:depth])) :]
        if "#" in first:
            more = itertools.takewhile(lambda line: line.lstrip().startswith("#"), rest)
            return " ".join(line.split("#", 1)[1].strip() for line in (first, *more))
    return ""


@pytest.mark.parametrize("key", KEYS)
def test_each_value_has_a_comment_that_says_more_than_its_name(key: str) -> None:
    name = key.rsplit(".", 1)[-1]
    assert len(comment_of(key).replace(name, "").split()) >= 2


@pytest.mark.parametrize("key", CHOICES)
def test_the_comment_lists_every_choice(key: str) -> None:
    words = set(re.findall(r"[\w/]+", comment_of(key)))
    assert set(CHOICES[key]) <= words


# Mistakes in the file: one line with key, value and file


@pytest.mark.parametrize("key", [*TREE, *(key for key in KEYS if not key.startswith("tune.space."))])
def test_a_key_that_is_missing(key: str) -> None:
    tree = deepcopy(TREE)
    *section, name = key.split(".")
    del (tree[section[0]] if section else tree)[name]
    with pytest.raises(WellfitError) as caught:
        validate(Params, tree, "params.yaml")
    assert str(caught.value) == f"{key} is missing (params.yaml)"


@pytest.mark.parametrize(
    ("key", "line", "unknown", "meant"),
    [
        ("optim.lr", "  lrr: 0.1", "optim.lrr", "optim.lr"),
        ("data.name", "  nmae: digits", "data.nmae", "data.name"),
        ("schedule.warmup_epochs", "  warmup: 2", "schedule.warmup", "schedule.warmup_epochs"),
        ("tune.enabled", "  enabeld: true", "tune.enabeld", "tune.enabled"),
        ("train.seed", "  lr: 0.1", "train.lr", "optim.lr"),
        ("loss", "los: 1", "los", "loss"),
        (
            "tune.space.optim.lr",
            "      ler: {low: 0.1, high: 1, log: true}",
            "tune.space.optim.ler",
            "tune.space.optim.lr",
        ),
    ],
)
def test_an_unknown_key_in_the_file(edited: Edit, key: str, line: str, unknown: str, meant: str) -> None:
    path = edited(key, f"{line}\n{TEXT.splitlines()[line_number(key)]}")
    text = mistake(path)
    assert text.startswith(f"{unknown} is not a key of params.yaml; did you mean {meant}")
    assert text.endswith(f"({path})")


def test_an_unknown_key_like_no_other_lists_the_sections(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT + "\nzzzzzz: 1\n")
    assert f"sections are {', '.join(TREE)}" in mistake(path)


@pytest.mark.parametrize(
    ("addition", "key"),
    [("data: {}", "data"), ("x: {a: 1, a: 2}", "a"), ("x:\n  loss: 1\n  mode: 2\n  loss: 1", "loss")],
)
def test_a_duplicate_key_names_its_line(tmp_path: Path, addition: str, key: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"{TEXT}{addition}\n")
    line = len(TEXT.splitlines()) + len(addition.splitlines())
    assert mistake(path) == f"{path} line {line}: key {key!r} stands there twice; keep one"


@pytest.mark.parametrize("content", ["", "\n\n", "# a comment\n", "---\n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content)
    assert mistake(path).startswith(f"{path} is empty")


@pytest.mark.parametrize(("content", "kind"), [("- 1\n", "list"), ("text\n", "str"), ("3\n", "int")])
def test_a_file_without_sections(tmp_path: Path, content: str, kind: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content)
    assert mistake(path).endswith(f"got a {kind}")


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert mistake(Path("params.yaml")).startswith(f"params.yaml not found in {tmp_path}")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    assert mistake(tmp_path).startswith(f"{tmp_path} cannot be read")


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"# \xe9t\xe9\n" + TEXT.encode())
    assert mistake(path).startswith(f"{path} cannot be read")


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("  lr: [0.1", "not valid YAML"),
        ("\tlr: 0.1", "line {line}, column 1: not valid YAML"),
        ("  lr: @x", "line {line}, column 7: not valid YAML"),
        ("  lr: *x", "line {line}, column 7: not valid YAML"),
        ("  lr: !!python/object:os.system x", "line {line}, column 7: not valid YAML"),
        ("  lr: \0", "not valid YAML"),
        # The tags of YAML's own scalars, whose text ruamel hands to int() and date()
        ("  lr: 2024-13-45", "not valid YAML"),
        ("  lr: 0b_", "not valid YAML"),
        (f"  lr: {'1' * 5000}", "not valid YAML"),
    ],
    ids=lambda value: value[:30],
)
def test_text_that_is_not_yaml(edited: Edit, line: str, place: str) -> None:
    path = edited("optim.lr", line)
    text = mistake(path)
    assert text.startswith(str(path))
    assert place.format(line=line_number("optim.lr") + 1) in text


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("train.epochs", "ten", "must be a whole number, got 'ten'"),
        ("optim.lr", "-1e-3", "must be > 0.0, got -0.001"),
        ("optim.lr", ".nan", "must be a finite number, got nan"),
        ("tune.enabled", "on", "must be true or false, got 'on'"),
        ("model.hidden", "64", "must be a list, got 64"),
        ("schedule.name", "cosin", "got 'cosin'; did you mean 'cosine'?"),
    ],
)
def test_a_bad_value_in_the_file(edited: Edit, key: str, value: str, rule: str) -> None:
    path = edited(key, f"  {key.split('.')[1]}: {value}")
    text = mistake(path)
    assert text.startswith(f"{key} ")
    assert text.endswith(f"{rule} ({path})")


def test_a_number_in_the_file_may_have_an_exponent_without_a_point(edited: Edit) -> None:
    assert load_params(edited("optim.lr", "  lr: 1e-3")).optim.lr == 0.001


def test_a_contradiction_within_the_file_names_the_file_alone(edited: Edit) -> None:
    path = edited("train.epochs", "  epochs: 2")
    assert mistake(path).endswith(f"got 2 and 2; 0 is no warm-up ({path})")


# The object


def test_params_are_frozen_at_every_level(params: Params) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        params.optim = params.optim  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        params.optim.lr = 0.1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        params.tune.searched["optim.lr"].low = 0.1  # type: ignore[misc, union-attr]
    with pytest.raises(TypeError):
        params.model.hidden[0] = 1  # type: ignore[index]


def test_replace_changes_a_copy_and_nothing_else(params: Params) -> None:
    before = params.flat()
    changed = params.replace({"optim.lr": 0.5, "model.hidden": [3, 2], "train.patience": None})
    assert params.flat() == before
    assert changed.flat() == before | {"optim.lr": 0.5, "model.hidden": [3, 2], "train.patience": None}
    assert changed.model.hidden == (3, 2)


def test_replace_of_nothing_is_the_same(params: Params) -> None:
    assert params.replace({}) == params


def test_a_value_that_replace_sets_may_still_be_searched(params: Params) -> None:
    assert params.replace({"optim.lr": 0.5}).tune.searched == params.tune.searched


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"optim.lr": -1.0}, "optim.lr must be > 0.0, got -1.0"),
        ({"optim.lrr": 1.0}, "optim.lrr is not a key of params.yaml; did you mean optim.lr?"),
        ({"train.epochs": 2}, "schedule.warmup_epochs must be < train.epochs, got 2 and 2"),
    ],
)
def test_replace_validates_like_the_file(params: Params, changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(WellfitError) as caught:
        params.replace(changes)
    assert str(caught.value).startswith(rule)
    assert "\n" not in str(caught.value)


def test_flat_holds_what_json_holds(params: Params) -> None:
    flat = params.flat()
    assert flat["model.hidden"] == [128, 64]
    assert flat["tune.space.optim.lr.low"] == 0.001
    assert flat["optim.clip_norm"] is None
    assert all(not isinstance(value, dict) for value in flat.values())


def test_what_is_searched_by_dotted_key(params: Params) -> None:
    assert params.tune.searched == {
        "optim.lr": Interval(low=0.001, high=0.02, log=True),
        "optim.weight_decay": Interval(low=0.0001, high=0.3, log=True),
        "model.dropout": Interval(low=0.0, high=0.6),
        "model.embedding": ["none", "periodic"],
        "model.embedding_scale": Interval(low=0.02, high=10.0, log=True),
    }


def test_a_misspelt_key_is_named_before_the_one_that_is_missing(edited: Edit) -> None:
    assert mistake(edited("optim.lr", "  lrr: 0.003")).startswith("optim.lrr is not a key of params.yaml; did you mean")


def test_the_keys_of_a_section_are_listed_where_none_is_near(edited: Edit) -> None:
    text = mistake(edited("fetch.retries", "  zzzzzz: 3"))
    assert "fetch.zzzzzz is not a key of params.yaml; fetch has fetch.timeout, fetch.retries" in text


def test_what_is_changed_in_one_configuration_is_not_changed_in_the_next() -> None:
    space = ["tune.space={optim: {lr: [0.1, 0.2]}}", "tune.space.optim.lr=null"]
    for overrides in (["train.epochs=3", *space], []):
        params = load_params(SHIPPED, overrides)
        assert load_params(SHIPPED, overrides) == params
        assert (params.train.epochs == 3) == bool(overrides)
