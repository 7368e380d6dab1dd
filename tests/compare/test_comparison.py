"""Comparisons as files: those that ship, and what is said of wrong ones."""

import re
from pathlib import Path
from typing import Any

import pytest

from wellfit.compare.base import load_base
from wellfit.compare.comparison import NO_COMPARISONS, comparison_names, comparison_titles, has_stage, load_comparison
from wellfit.errors import WellfitError
from wellfit.files import write_yaml
from wellfit.settings.params import load_params
from wellfit.training.record import resolved_config

from .conftest import SHIPPED, SMALL, Write

ROOT = SHIPPED.parent
FILE = "comparisons/small.yaml"


def mistake(name: str = "small", *overrides: str) -> str:
    with pytest.raises(WellfitError) as caught:
        load_comparison(name, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_the_base_regularizes_nothing(root: Path) -> None:
    base = load_base()
    assert not base.tune.searched
    assert base.train.patience is None
    off = ("dropout", "weight_decay", "l1", "smoothing", "noise", "mixup", "cutmix")
    on = {k: v for k, v in base.flat().items() if k.endswith(off) and not k.startswith("data.") and v != 0}
    assert on == {}
    none = ("data.augment", "model.norm", "regularize.average", "loss.class_weights")
    assert {base.flat()[key] for key in none} == {"none"}
    assert (base.schedule.name, base.schedule.warmup_epochs) == ("constant", 0)


@pytest.mark.parametrize("name", sorted({path.stem for path in SHIPPED.glob("*.yaml")} - set(NO_COMPARISONS)))
def test_each_that_ships_is_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    named = load_comparison(name)
    assert named.comparison.seeds >= 5
    assert len(named.variants) >= 2


def test_a_variant_is_base_yaml_then_base_then_what_is_given_then_its_own(write: Write) -> None:
    write(base=SMALL["base"] | {"optim.lr": 0.01, "optim.weight_decay": 0.1})
    named = load_comparison("small", ["optim.weight_decay=0.2", "model.dropout=0.1", "train.epochs="])
    plain, dropped = named.variants.values()
    assert list(named.variants) == ["plain", "dropout 0.4"]
    assert (plain.optim.lr, plain.optim.weight_decay, plain.model.dropout) == (0.01, 0.2, 0.1)
    assert (dropped.optim.lr, dropped.optim.weight_decay, dropped.model.dropout) == (0.01, 0.2, 0.4)
    assert plain.train.epochs == 4
    assert plain.schedule == load_base().schedule
    assert resolved_config(plain) == resolved_config(named.base)
    assert named.comparison.base["optim.weight_decay"] == 0.2  # the report says what was really used


def test_what_base_yaml_leaves_out_is_as_in_params_yaml(write: Write, root: Path) -> None:
    write()
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(re.sub(r"(?m)^  beta1: \S+", "  beta1: 0.8", text))
    assert load_comparison("small").base.optim.beta1 == 0.8


def test_an_own_table_and_its_study_are_no_part_of_comparisons(write: Write, root: Path) -> None:
    write()
    before = load_comparison("small").base
    text = (root / "params.yaml").read_text()
    own = {"name": "csv", "target": "price", "id": "key", "time": "when", "drop": "[a, b]", "dropout": "0.5"}
    for key, value in own.items():
        text, count = re.subn(rf"(?m)^(  {key}:).*", rf"\1 {value}", text, count=1)
        assert count == 1
    (root / "params.yaml").write_text(text)
    assert load_params().data.target == "price"
    assert load_comparison("small").base == before


def test_names_and_titles_are_those_of_the_files(write: Write, root: Path) -> None:
    write("b", title="Second")
    write("a", title="First")
    (root / "comparisons" / "dvc.yaml").write_text("stages: {}")
    (root / "comparisons" / "c.yaml").write_text("")
    assert comparison_names() == ["a", "b", "c"]
    titles = comparison_titles()
    assert (titles["a"], titles["b"]) == ("First", "Second")
    assert "empty" in titles["c"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("smal", "comparisons/smal.yaml not found; did you mean small?"),
        ("other", "comparisons/other.yaml not found; there are: small"),
        ("base", "comparisons/base.yaml not found; there are: small"),
        ("../comparisons/small", "comparisons/../comparisons/small.yaml not found; there are: small"),
        ("", "comparisons.yaml not found; there are: small"),
    ],
)
def test_an_unknown_name_is_one_line(write: Write, name: str, text: str) -> None:
    write()
    assert mistake(name) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seeds": 1}, f"seeds must be >= 2, got 1 ({FILE})"),
        ({"seeds": None}, f"seeds is missing ({FILE})"),
        ({"sed": 1}, f"sed is not a key; did you mean seeds? ({FILE})"),
        ({"weights": "bets"}, f"weights must be one of best or last, got 'bets'; did you mean 'best'? ({FILE})"),
        ({"variants": {}}, f"variants must have at least 1 entries, got {{}} ({FILE})"),
        ({"variants": {"a": None}}, f"variants.a must be a section with keys below it, got null ({FILE})"),
        ({"variants": {0.4: {}}}, f"variants: a name must be text, so put it in quotes, got 0.4 ({FILE})"),
        (
            {"variants": {"a\nb": {}}},
            f"variants: a name must be a line of 1 to 60 characters, no space around, got 'a\\nb' ({FILE})",
        ),
        (
            {"base": {"model.droput": 0.1}},
            f"model.droput is not a key of params.yaml; did you mean model.dropout? ({FILE}: base)",
        ),
        (
            {"variants": {"a": {}, "b": {"optim.learning_rate": 0.1}}},
            "optim.learning_rate is not a key of params.yaml; ",
        ),
        (
            {"variants": {"a": {}, "b": {"model.dropout": 1.0}}},
            f"model.dropout must be < 1.0, got 1.0 ({FILE}: variants.b)",
        ),
        ({"base": {"model": {"dropout": 0.1}}}, f"model must be a dotted key, such as model.dropout ({FILE}: base)"),
        (
            {"variants": {"a": {}, "b": {"model.norm": "instance"}}},
            "model.norm instance is for model.name cnn, got mlp; use layer (comparisons/base.yaml, "
            f"{FILE}: variants.b)",
        ),
        (
            {"variants": {"a": {}, "b": {"model.dropout": 0.0}}},
            f"variants.a and variants.b have equal settings; drop one ({FILE})",
        ),
        (
            {"variants": {"a": {}, "b": {"data.noise": 0.5}}},
            f"data.noise may not differ between variants, which share their data: set it in base ({FILE}: variants.b)",
        ),
        (
            {"variants": {"a": {}, "b": {"train.device": "cpu"}}},
            f"train.device may not differ between variants: set it in base ({FILE}: variants.b)",
        ),
        (
            {"variants": {"a": {}, "b": {"train.seed": 3}}},
            f"train.seed is 0, 1, 2, ... in a comparison: say in seeds how many ({FILE}: variants.b)",
        ),
        ({"base": {"tune.enabled": True}}, f"tune.enabled does nothing in a comparison: leave it out ({FILE}: base)"),
        (
            {"measure": ["test/acuracy"]},
            f"measure: test/acuracy is not measured; did you mean test/accuracy? ({FILE})",
        ),
        (
            {"measure": ["test/rmse"]},
            f"measure: test/rmse is a score of a regression, but data.name moons is a classification ({FILE})",
        ),
        ({"measure": ["gap/loss", "gap/loss"]}, f"measure: gap/loss stands there twice; keep one ({FILE})"),
        (
            {"base": {"data.name": "digits", "model.name": "timm/resnet18", "model.freeze": True}},
            "model.name timm/resnet18 starts from pretrained weights, which comparisons do not; use model.weights "
            f"random with model.freeze false, or another network ({FILE}: base)",
        ),
        ({"measure": []}, f"measure must have at least 1 entries, got [] ({FILE})"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(write: Write, changes: dict[str, Any], text: str) -> None:
    write(**changes)
    said = mistake()
    assert said.startswith(text)
    assert FILE in said


def test_a_name_that_stands_there_twice_is_found_by_its_line(write: Write) -> None:
    path = write()
    text = path.read_text().replace("  dropout 0.4:", "  plain:")
    path.write_text(text)
    line = text.splitlines().index("  plain:") + 1
    assert mistake() == f"{FILE} line {line}: key 'plain' stands there twice; keep one"


def test_an_empty_file_is_one_line(write: Write) -> None:
    write().write_text("")
    assert mistake() == f"{FILE} is empty; `git checkout {FILE}` brings back what was committed"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("train.seed=3", "train.seed is 0, 1, 2, ... in a comparison: say in seeds how many (--set)"),
        ("tune.n_trials=3", "tune.n_trials does nothing in a comparison: leave it out (--set)"),
        ("optim.lr=-1", "optim.lr must be > 0.0, got -1 (--set)"),
        ("optim.lrr=1", "optim.lrr is not a key of params.yaml; did you mean optim.lr? (--set)"),
    ],
)
def test_what_is_given_is_checked_as_the_file_is(write: Write, given: str, text: str) -> None:
    write()
    assert mistake("small", given) == text


@pytest.mark.parametrize("name", ["50 % off: a/b\\c", "..", "Größe ≥ 2", "'quoted' \"twice\"", "a" * 60])
def test_names_of_odd_characters_are_names(write: Write, name: str) -> None:
    write(variants={"plain": {}, name: {"model.dropout": 0.4}})
    assert list(load_comparison("small").variants) == ["plain", name]


def test_what_every_variant_sets_cannot_be_given(write: Write) -> None:
    write(variants={"plain": {"model.dropout": 0.0}, "dropout 0.4": {"model.dropout": 0.4, "optim.lr": 0.1}})
    said = f"model.dropout is what {FILE} compares: each of its variants sets it (--set)"
    assert mistake("small", "model.dropout=0.2") == said
    assert load_comparison("small", ["optim.lr=0.2"]).given == {"optim.lr": 0.2}


def test_stages_are_those_of_dvc(write: Write, root: Path) -> None:
    write()
    assert not has_stage("small")
    write_yaml(root / "comparisons/dvc.yaml", {"stages": {"small": {}}}, "stages")
    assert has_stage("small")
    assert not has_stage("smal")
