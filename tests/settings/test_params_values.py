"""Values, wherever they come from: what is refused, and how ``--set`` gives them."""

import io
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from wellfit.errors import WellfitError
from wellfit.settings.params import Params, flatten, load_params
from wellfit.tuning.space import TAKEN

SHIPPED = Path(__file__).parents[2] / "params.yaml"
TREE = YAML(typ="safe", pure=True).load(SHIPPED.read_text(encoding="utf-8"))
TABLE_REGRESSION = ["data.name=diabetes", "tune.space={}"]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(SHIPPED)


def mistake(*overrides: str) -> str:
    with pytest.raises(WellfitError) as caught:
        load_params(SHIPPED, overrides)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


BAD_VALUES = [
    # wrong types
    ("train.epochs", "ten", "must be a whole number, got 'ten'"),
    ("train.epochs", "1.5", "must be a whole number, got 1.5"),
    ("train.epochs", "1.0", "must be a whole number, got 1.0"),
    ("train.epochs", "true", "must be a whole number, got True"),
    ("train.epochs", "null", "must be a whole number, got null"),
    ("optim.lr", "fast", "must be a number, got 'fast'"),
    ("optim.lr", "'0.1'", "must be a number, got '0.1'"),
    ("optim.lr", "false", "must be a number, got False"),
    ("optim.lr", "[0.1]", "must be a number, got [0.1]"),
    ("tune.enabled", "1", "must be true or false, got 1"),
    ("tune.enabled", "on", "must be true or false, got 'on'"),
    ("tune.storage", "3", "must be text, got 3"),
    ("model.hidden", "64", "must be a list, got 64"),
    ("fetch", "3", "must be a section with keys below it, got 3"),
    ("tune.space", "[]", "must be a section with keys below it, got []"),
    # out of range
    ("data.n_samples", "19", "must be >= 20, got 19"),
    ("data.noise", "-0.1", "must be >= 0.0, got -0.1"),
    ("data.val_fraction", "0", "must be > 0.0, got 0"),
    ("data.test_fraction", "1.0", "must be < 1.0, got 1.0"),
    ("data.seed", "4294967296", "must be < 4294967296, got 4294967296"),
    ("fetch.timeout", "0", "must be > 0.0, got 0"),
    ("fetch.retries", "101", "must be <= 100, got 101"),
    ("model.dropout", "1", "must be < 1.0, got 1"),
    ("model.dropout", "-0.1", "must be >= 0.0, got -0.1"),
    ("model.channels", "[]", "must have at least 1 entries, got []"),
    ("loss.label_smoothing", "1", "must be < 1.0, got 1"),
    ("data.encoding", "klingon", "must be an encoding such as cp1251 or shift_jis"),
    ("data.separator", ";", "must be one of comma, semicolon, tab or pipe, got ';'"),
    ("data.target", "''", "must not be empty, got ''"),
    ("data.image_size", "[32]", "must have at least 2 entries, got [32]"),
    ("data.image_size", "[32, 32, 3]", "must have at most 2 entries, got"),
    ("data.image_size", "true", "must be a list, got True"),
    ("data.target", "true", "must be text, got True"),
    ("data.target", "2.5", "must be text, got 2.5"),
    ("data.max_categories", "1", "must be >= 2, got 1"),
    ("data.name", "../x", "got '../x'"),
    ("tune.study", "a/b", "must be of letters, digits, -, _ and ., and not of . alone, got 'a/b'"),
    ("tune.study", "..", "and not of . alone, got '..'"),
    ("tune.study", "ä" * 101, "must be at most 200 bytes in UTF-8, got 'ää"),
    ("tune.storage", ".", "must be a folder below the root of the project, or a URL such as sqlite:///studies.db, got"),
    ("tune.storage", '"a\\0b"', "must be a folder below the root of the project, or a URL"),
    ("tune.storage", "./src", "must be a folder of its own, such as .wellfit/studies, got './src'"),
    ("tune.storage", ".git", "must be a folder of its own, such as .wellfit/studies, got '.git'"),
    ("tune.storage", "reports/tune", "must be a folder of its own, such as .wellfit/studies, got 'reports/tune'"),
    ("tune.storage", "a/" + "b" * 201, "must have no name of more than 200 bytes in UTF-8, got 'a/bb"),
    ("tune.storage", "/tmp/x", "must be a folder below the root of the project, or a URL such as sqlite:///st"),
    ("tune.storage", "a/../../x", "studies.db, got 'a/../../x'"),
    ("data.task", "regresion", "got 'regresion'; did you mean 'regression'?"),
    ("data.drop", "price", "must be a list, got 'price'"),
    (
        "loss.class_weights",
        "some",
        "must be none, balanced, or a list of numbers > 0 and <= 1e38, one for each class, got",
    ),
    ("loss.class_weights", "[1, 0]", "one for each class, got [1, 0]"),
    ("loss.class_weights", "[1, true]", "one for each class, got [1, True]"),
    ("loss.class_weights", "[]", "one for each class, got []"),
    ("loss.focal_gamma", "-1", "must be >= 0.0, got -1"),
    ("loss.delta", "0", "must be > 0.0, got 0"),
    ("optim.lr", "0", "must be > 0.0, got 0"),
    ("optim.lr", "-0.001", "must be > 0.0, got -0.001"),
    ("optim.weight_decay", "-1", "must be >= 0.0, got -1"),
    ("optim.momentum", "1.0", "must be < 1.0, got 1.0"),
    ("optim.clip_norm", "0", "must be > 0.0, got 0"),
    ("optim.clip_value", "-1", "must be > 0.0, got -1"),
    ("optim.max_norm", "0", "must be > 0.0, got 0"),
    ("optim.l1", "-0.1", "must be >= 0.0, got -0.1"),
    ("optim.eps", "0", "must be > 0.0, got 0"),
    ("optim.beta2", "1.0", "must be < 1.0, got 1.0"),
    ("optim.decay", "weak", "must be one of auto, decoupled or coupled, got 'weak'"),
    ("schedule.warmup_epochs", "-1", "must be >= 0, got -1"),
    ("schedule.step_epochs", "0", "must be >= 1, got 0"),
    ("schedule.gamma", "1.0", "must be < 1.0, got 1.0"),
    ("regularize.mixup", "-1", "must be >= 0.0, got -1"),
    ("regularize.swa_start", "1.0", "must be < 1.0, got 1.0"),
    ("regularize.average", "mean", "must be one of none, ema or swa, got 'mean'"),
    ("schedule.milestones", "[]", "must have at least 1 entries, got []"),
    ("schedule.decay", "1.1", "must be <= 1.0, got 1.1"),
    ("schedule.power", "0", "must be > 0.0, got 0"),
    ("schedule.restart_factor", "0", "must be >= 1, got 0"),
    ("schedule.rise", "1.0", "must be < 1.0, got 1.0"),
    ("schedule.start_factor", "0", "must be > 0.0, got 0"),
    ("schedule.end_factor", "2", "must be <= 1.0, got 2"),
    ("train.epochs", "0", "must be >= 1, got 0"),
    ("train.batch_size", "0", "must be auto or a whole number from 1 to 1000000, got 0"),
    ("train.accumulate", "0", "must be >= 1, got 0"),
    ("train.precision", "fp16", "must be one of fp32, bf16 or auto, got 'fp16'; did you mean '"),
    ("train.compile", "1", "must be true or false, got 1"),
    ("train.patience", "0", "must be >= 1, got 0"),
    ("train.seed", "-1", "must be >= 0, got -1"),
    ("tune.n_trials", "0", "must be >= 1, got 0"),
    ("tune.timeout", "0", "must be > 0.0, got 0"),
    ("tune.max_steps", "0", "must be null, auto or a whole number from 1 to 1000000000, got 0"),
    ("model.embedding_size", "257", "must be auto or a whole number from 1 to 256, got 257"),
    ("tune.pack", "0", "must be auto or a whole number from 1 to 1000, got 0"),
    ("tune.pack", "true", "must be auto or a whole number from 1 to 1000, got True"),
    ("tune.pack", "all", "must be auto or a whole number from 1 to 1000, got 'all'"),
    ("tune.sampler", "tp", "got 'tp'; did you mean 'tpe'?"),
    ("tune.pruner", "halfing", "got 'halfing'; did you mean 'halving'?"),
    ("tune.pruner_percentile", "100", "must be < 100.0, got 100"),
    ("tune.study", "''", "must not be empty, got ''"),
    ("tune.storage", "''", "must not be empty, got '' ("),
    ("evaluate.resamples", "99", "must be >= 100, got 99"),
    ("evaluate.calibration_bins", "1", "must be >= 2, got 1"),
    ("evaluate.calibration", "isotonic", "must be one of auto, none or temperature, got 'isotonic'"),
    ("evaluate.threshold", "0", "must be a number > 0 and < 1, f1, balanced_accuracy, or the costs f"),
    ("evaluate.threshold", "1", "costs false_positive and false_negative, got 1"),
    ("evaluate.threshold", "true", "costs false_positive and false_negative, got True"),
    ("evaluate.threshold", "accuracy", "costs false_positive and false_negative, got 'accuracy'"),
    ("evaluate.threshold", "{false_positive: 1}", "costs false_positive and false_negative, got {'false_positive': 1}"),
    (
        "evaluate.threshold",
        "{false_positive: 1, false_negative: 0}",
        "must have costs > 0 and <= 1e38, got {'",
    ),
    ("evaluate.coverage", "0", "must be > 0.0, got 0"),
    ("evaluate.coverage", "1", "must be < 1.0, got 1"),
    ("evaluate.coverage", "1.5", "must be < 1.0, got 1.5"),
    ("data.target_transform", "logg", "must be one of none, log, quantile or auto, got 'logg'; did you mean 'log'?"),
    ("explain.enabled", "1", "must be true or false, got 1"),
    ("explain.rows", "99", "must be >= 100, got 99"),
    ("explain.repeats", "0", "must be >= 1, got 0"),
    ("explain.columns", "-1", "must be >= 0, got -1"),
    ("explain.permutations", "9", "must be >= 10, got 9"),
    # too large
    ("train.epochs", "1" + 30 * "0", "must be <= 100000, got 1000"),
    ("train.threads", "100000", "must be <= 1024, got 100000"),
    ("train.batch_size", "1000001", "must be auto or a whole number from 1 to 1000000, got 1000001"),
    ("optim.lr", "1.0e+300", "must be <= 1e+38, got 1e+300"),
    ("loss.class_weights", "[1, 1.0e+300]", "must be none, balanced, or a list of numbers > 0 and <= 1e38"),
    ("fetch.timeout", "1.0e+9", "must be <= 86400.0, got 1000000000.0"),
    # not finite
    ("optim.lr", ".nan", "must be a finite number, got nan"),
    ("optim.lr", ".inf", "must be a finite number, got inf"),
    ("optim.lr", "1e400", "must be a finite number, got inf"),
    ("optim.weight_decay", "-.inf", "must be a finite number, got -inf"),
    ("train.min_delta", ".NaN", "must be a finite number, got nan"),
    # choices
    ("data.name", "digit", "got 'digit'; did you mean 'digits'?"),
    ("model.name", "mpl", "efficientnet_b0 or timm/<name>, got 'mpl'; did you mean 'mlp'?"),
    ("model.activation", "rellu", "got 'rellu'; did you mean 'relu'?"),
    ("optim.name", "adamm", "lamb, lion or muon, got 'adamm'; did you mean 'adam'?"),
    ("schedule.name", "cosin", "got 'cosin'; did you mean 'cosine'?"),
    ("schedule.name", "zigzag", "cosine_restarts, one_cycle, cyclic or plateau, got 'zigzag' ("),
    ("train.monitor", "val/los", "got 'val/los'; did you mean 'val/loss'?"),
    ("train.monitor", "test/loss", "got 'test/loss'"),
    ("train.device", "tpu", "must be one of auto, cpu, cuda or mps, got 'tpu'"),
]


def test_a_column_may_be_named_by_a_number() -> None:
    """YAML does not read it as text."""
    columns = ["data.target=21", "data.id=0", "data.drop=[1, two]", "data.numeric=[3]", "data.categorical=[-4]"]
    data = load_params(SHIPPED, ["data.name=csv", *columns]).data
    assert (data.target, data.id, data.drop, data.numeric, data.categorical) == (
        "21",
        "0",
        ("1", "two"),
        ("3",),
        ("-4",),
    )


def test_one_number_is_the_size_of_a_square() -> None:
    for text in ("28", "[28, 28]"):
        assert load_params(SHIPPED, [f"data.image_size={text}"]).data.image_size == (28, 28)


@pytest.mark.parametrize("value", [10**40, -(10**40), 1e300, [10**40], [10**40, 10**40], [1e300, 1e300]])
def test_no_number_is_without_bounds(params: Params, value: Any) -> None:
    for key in params.flat():
        with suppress(WellfitError):
            taken = params.replace({key: value}).flat()[key]
            assert "000" in (taken[0] if isinstance(taken, list) else taken), f"{key} is no name of a column"


@pytest.mark.skipif(not (SHIPPED.parent / ".git").exists(), reason="git tells what the folders of the project are")
def test_the_folders_of_the_project_are_taken() -> None:
    root = SHIPPED.parent
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    folders = {line.split("/")[0] for line in tracked.splitlines() if "/" in line}
    ignored = {line.strip("/") for line in (root / ".dvcignore").read_text().splitlines() if line.startswith("/")}
    assert set(TAKEN) >= folders | ignored - {".venv.lock", ".wellfit", "mlflow.db*"}


@pytest.mark.parametrize(("key", "value", "rule"), BAD_VALUES)
def test_a_bad_value_on_the_command_line(key: str, value: str, rule: str) -> None:
    text = mistake(f"{key}={value}")
    assert text.startswith(f"{key} ")
    assert rule in text
    assert text.endswith("(--set)")


@pytest.mark.parametrize(
    ("key", "value", "entry", "rule"),
    [
        ("model.hidden", "[64, x]", "model.hidden.1", "must be a whole number, got 'x'"),
        ("model.hidden", "[64.0]", "model.hidden.0", "must be a whole number, got 64.0"),
        ("model.hidden", "[64, 0]", "model.hidden.1", "must be >= 1, got 0"),
        ("model.channels", "[-8]", "model.channels.0", "must be >= 1, got -8"),
        (
            "model.pooled",
            "[blocks.6/0]",
            "model.pooled.0",
            "must name a module, such as blocks.6, or blocks.6/2 for 2 x 2 fields, got 'blocks.6/0'",
        ),
        ("optim", "{lr: 0.1}", "optim.name", "is missing"),
        ("tune.space.optim.lr", "{low: 0.1}", "tune.space.optim.lr.high", "is missing"),
        (
            "tune.space.optim.lr",
            "{low: 0.1, high: 1, log: 1}",
            "tune.space.optim.lr.log",
            "must be true or false, got 1",
        ),
        ("tune.space.optim.lr", "{low: 0.1, high: x}", "tune.space.optim.lr.high", "must be a number, got 'x'"),
        ("tune.space.optim.lr.step", "0", "tune.space.optim.lr.step", "must be > 0.0, got 0"),
        ("tune.space.optim", "[lr]", "tune.space.optim", "must be a section with keys below it, got ['lr']"),
        (
            "tune.space.optim.lr",
            "0.1",
            "tune.space.optim.lr",
            "must be an interval, such as {low: 0.1, high: 1.0}, or a list of choices, got 0.1",
        ),
    ],
)
def test_a_bad_value_inside_a_value(key: str, value: str, entry: str, rule: str) -> None:
    assert mistake(f"{key}={value}") == f"{entry} {rule} (--set)"


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        # an interval that holds nothing, or that no sampler can draw from
        ("optim.lr", "{low: 0.1, high: 0.01, log: true}", ": low must be < high, got low 0.1 and high 0.01"),
        ("optim.lr", "{low: 0.1, high: 0.1}", ": low must be < high, got low 0.1 and high 0.1"),
        ("model.dropout", "{low: 0, high: 0.5, log: true}", ": low must be > 0 on a logarithmic scale, got 0"),
        ("optim.lr", "{low: 0.1, high: 0.5, step: 0.1, log: true}", ": step must be null on a logarithmic scale"),
        ("model.dropout", "{low: 0, high: 0.5, step: 0.2}", ": high must be low and a number of steps, got low 0, hi"),
        (
            "optim.lr",
            "{low: 0.1, high: 0.5, step: 1.0e-9}",
            ": step must lead from low to high in at most 100000",
        ),
        ("train.epochs", "{low: 5, high: 1.0e+30}", ".high must be <= 100000, got 1000"),
        ("model.hidden", "[[64], [1000000000]]", " must be <= 100000, got 1000000000"),
        ("model.groups", "{low: 1, high: 2, step: 0.5}", ".step must be a whole number, got 0.5"),
        # choices that are none
        ("optim.name", "[adamw]", ": a list of choices must have at least 2 entries, got ['adamw']"),
        ("optim.name", "[]", ": a list of choices must have at least 2 entries, got []"),
        ("optim.name", "[adamw, sgd, adamw]", ": each choice must stand there once, got 'adamw' twice"),
        ("model.hidden", "[[64], [32], [64]]", ": each choice must stand there once, got [64] twice"),
        ("train.batch_size", "[32, 32.0]", ": each choice must stand there once, got 32.0 twice"),
        # the rules of the key itself, for both ends and each choice
        ("model.dropout.high", "1.5", ".high must be < 1.0, got 1.5"),
        ("model.dropout.low", "-0.5", ".low must be >= 0.0, got -0.5"),
        ("optim.lr", "{low: -1.0, high: 0.1}", ".low must be > 0.0, got -1"),
        ("optim.clip_norm", "{low: 0, high: 5}", ".low must be > 0.0, got 0"),
        ("train.batch_size", "{low: 8.5, high: 64}", ".low must be auto or a whole number from 1 to 1000000, got 8.5"),
        ("train.batch_size", "[32, 64.0]", " must be auto or a whole number from 1 to 1000000, got 64.0"),
        ("optim.name", "[adamw, sdg]", " must be one of adamw, adam, nadam"),
        ("model.hidden", "[[64], [32, 0]]", " must be >= 1, got 0"),
        ("model.hidden", "[[64], 32]", " must be a list, got 32"),
        ("model.norm_first", "[true, 1]", ": each choice must stand there once"),
        ("optim.name", "{low: 1, high: 2}", " must be a list of choices, for optim.name takes no numbers"),
        ("model.hidden", "{low: 8, high: 64}", " must be a list of choices, for model.hidden takes no numbers"),
        ("model.norm_first", "{low: 0, high: 1}", " must be a list of choices, for model.norm_first takes no numbers"),
        # keys that are not searched
        ("train.monitor", "[val/loss, val/accuracy]", " cannot be searched: it is what trials are compared by"),
        ("train.seed", "[0, 1]", " cannot be searched: the best of several seeds is luck"),
        ("train.threads", "[1, 2]", " cannot be searched: it decides how fast a model is trained, not what it becomes"),
        (
            "data.noise",
            "[0.1, 0.2]",
            " cannot be searched: only model, loss, regularize, optim, schedule, train decide",
        ),
        ("tune.seed", "[0, 1]", " cannot be searched: only model, loss"),
        # a contradiction with what is not searched
        ("loss.name", "[cross_entropy, mse]", " 'mse': loss.name mse is for regression, but data.name digits has cla"),
        ("model.norm", "[batch, instance]", " 'instance': model.norm instance is for model.name cnn, got mlp"),
        ("train.epochs", "{low: 2, high: 9}", ".low 2: schedule.warmup_epochs must be < train.epochs, got 2 and 2"),
        ("schedule.warmup_epochs", "{low: 0, high: 40}", ".high 40: schedule.warmup_epochs must be < train.epochs"),
    ],
)
def test_a_space_that_cannot_be_searched(key: str, value: str, rule: str) -> None:
    section, name, *_ = key.split(".")
    assert mistake(f"tune.space.{key}={value}").startswith(f"tune.space.{section}.{name}{rule}")


@pytest.mark.parametrize(
    ("key", "value", "entry"),
    [
        ("train.batch_size", "{low: 16, high: 256, log: true}", {"low": 16, "high": 256, "log": True}),
        ("train.patience", "{low: 5, high: 25, step: 5}", {"low": 5, "high": 25, "step": 5}),
        ("model.dropout", "{low: 0.0, high: 0.3, step: 0.1}", {"low": 0.0, "high": 0.3, "step": 0.1}),
        ("optim.clip_norm", "[null, 1.0, 5.0]", [None, 1.0, 5.0]),
        ("model.hidden", "[[64], [128, 64], []]", [[64], [128, 64], []]),
        ("model.norm_first", "[true, false]", [True, False]),
        ("loss.class_weights", "[none, balanced]", ["none", "balanced"]),
        ("regularize.mixup", "{low: 0.0, high: 0.4, log: false}", {"low": 0.0, "high": 0.4}),
    ],
)
def test_any_key_that_decides_what_a_model_becomes_can_be_searched(key: str, value: str, entry: Any) -> None:
    changed = load_params(SHIPPED, [f"tune.space.{key}={value}"])
    section, name = key.split(".")
    assert changed.model_dump()["tune"]["space"][section][name] == entry
    assert changed.replace({}) == changed


@pytest.mark.parametrize(
    "overrides",
    [
        ["tune.space.train.epochs=[2, 40]", "tune.space.schedule.warmup_epochs=[0, 2]"],
        ["tune.space.model.norm=[batch, group]", "tune.space.model.hidden=[[66], [128]]"],
        ["tune.space.model.groups=[3, 4]", "tune.space.model.hidden=[[96], [128]]", "model.norm=group"],
        ["tune.space.optim.name=[adamw, adam]", "tune.space.optim.decay=[auto, coupled]"],
        ["tune.space.optim.decay=[auto, decoupled]", "tune.space.optim.name=[adamw, lamb]"],
        ["tune.space.schedule.min_lr={low: 0.0, high: 0.003}"],
        ["tune.space.loss.name=[cross_entropy, mse]", "tune.enabled=false"],
    ],
)
def test_choices_that_only_some_combinations_contradict_may_stand_there(overrides: list[str]) -> None:
    load_params(SHIPPED, overrides)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("loss.name=mse", r"loss\.name mse is for regression, but data\.name csv has classes"),
        (
            "tune.space.loss.name=[mse, cross_entropy]",
            r"tune\.space\.loss\.name 'mse': loss\.name mse is for regression",
        ),
        ("evaluate.threshold=f1", r"evaluate\.threshold must be 0\.5 for more than two classes .* csv has 3\), got f1"),
    ],
)
def test_what_own_data_are_is_checked_once_they_are_known(override: str, fault: str) -> None:
    params = load_params(SHIPPED, ["data.name=csv", "data.target=price", override])
    with pytest.raises(WellfitError, match=rf"{fault}.*params\.yaml"):
        params.check_data("table", "classification", 3)


def test_own_data_that_fit_the_settings() -> None:
    load_params(SHIPPED, ["data.name=csv", "data.target=price", "loss.name=mse"]).check_data("table", "regression", 0)


def test_a_grid_needs_a_number_of_values() -> None:
    grid = "tune.sampler=grid"
    text = mistake(grid)
    assert text.startswith("tune.space.optim.lr must be a list of choices, or have a step, for tune.sampler grid (")
    space = "optim: {lr: [0.1, 0.2]}, model: {dropout: {low: 0, high: 0.4, step: 0.2}, groups: {low: 1, high: 4}}"
    load_params(SHIPPED, [grid, f"tune.space={{{space}}}"])


def test_a_long_value_is_cut() -> None:
    text = mistake(f"optim.lr={'x' * 500}")
    assert len(text) < 120


# Two keys that contradict each other


OWN = ["data.name=csv", "data.target=price"]
CONTRADICTIONS = [
    (["train.fold=1"], "train.fold must be 0 to data.folds - 1, and 0 where that is null, got 1"),
    (["data.folds=3", "train.fold=3"], "train.fold must be 0 to data.folds - 1, and 0 where that is null, got 3"),
    (["train.seeds=3", "train.ensemble=0"], "train.seeds 3 needs train.ensemble >= 1"),
    (["data.folds=3", "model.name=cnn"], "data.folds trains the models of all folds as one pack, which model.name cnn"),
    (["data.folds=3", "train.compile=true"], "data.folds needs train.compile false, got True"),
    (["data.val_fraction=0.5", "data.test_fraction=0.5"], "data.val_fraction + data.test_fraction must be < 1, got 1"),
    (["data.name=csv"], "data.target must name the column to predict, as data.name is csv, got null"),
    (["data.labels=labels.csv"], "data.labels names a file of the classes of images, but data.name is digits; set it"),
    (["data.task=binary"], "data.task binary is for fashion_mnist and mnist, not for data.name digits; use auto"),
    (["data.task=regression"], "data.task regression does not fit data.name digits, which is a classification"),
    ([*OWN, "data.drop=[price]"], "a column must be named once among data.target, id, weight, group"),
    ([*OWN, "data.id=n", "data.group=n"], "a column must be named once among data.target"),
    (["data.target_transform=log"], "data.target_transform log is for numbers, but data.name digits has classes; use"),
    (
        [*TABLE_REGRESSION, "loss.name=msle", "data.target_transform=log"],
        "loss.name msle compares targets in their own unit, so data.target_transform must be none, got log; use mse",
    ),
    ([*TABLE_REGRESSION, "evaluate.calibration=temperature"], "evaluate.calibration temperature is for classes, but"),
    (
        [*TABLE_REGRESSION, "evaluate.threshold={false_positive: 1, false_negative: 5.5}"],
        "evaluate.threshold must be 0.5 for a regression (data.name diabetes), got {false_positive: 1, false_negative: "
        "5.5}",
    ),
    (["data.group=g"], "data.group names a column of a csv or parquet file, but data.name is digits; set it to null"),
    (["data.id=n"], "data.id names a column of a csv or parquet file, but data.name is digits; set it to null"),
    (["data.weight=w"], "data.weight names a column of a csv or parquet file, but data.name is digits; set it to"),
    (["data.name=wine", "data.augment=light"], "data.augment needs images, but data.name wine is a table; use none"),
    (["data.name=images", "data.time=t"], "data.time names a column of a csv or parquet file, but data.name is images"),
    ([*OWN, "data.group=g", "data.time=t"], "data.group and data.time exclude each other, got g and t"),
    ([*OWN, "data.task=regression", "loss.name=bce"], "loss.name bce is for classes, but data.name csv is a regress"),
    ([*OWN, "model.name=cnn"], "model.name cnn needs images, but data.name csv is a table"),
    (["model.name=cnn", "data.name=wine"], "model.name cnn needs images, but data.name wine is a table; use mlp"),
    (["loss.name=mse"], "loss.name mse is for regression, but data.name digits has classes"),
    ([*TABLE_REGRESSION, "loss.name=cross_entropy"], "loss.name cross_entropy is for classes, but data.name diabetes"),
    ([*TABLE_REGRESSION, "loss.label_smoothing=0.1"], "loss.label_smoothing must be 0 for a regression"),
    (["train.monitor=val/rmse"], "train.monitor val/rmse is not a score of a classification (data.name digits)"),
    (["train.monitor=val/mae"], "train.monitor val/mae is not a score of a classification"),
    (["train.monitor=val/r2"], "train.monitor val/r2 is not a score of a classification"),
    (["train.monitor=val/msle"], "train.monitor val/msle is not a score of a classification"),
    ([*TABLE_REGRESSION, "train.monitor=val/recall"], "train.monitor val/recall is not a score of a regression"),
    ([*TABLE_REGRESSION, "train.monitor=val/roc_auc"], "train.monitor val/roc_auc is not a score of a regression"),
    ([*TABLE_REGRESSION, "train.monitor=val/accuracy"], "train.monitor val/accuracy is not a score of a regression"),
    ([*TABLE_REGRESSION, "train.monitor=val/macro_f1"], "train.monitor val/macro_f1 is not a score of a regression"),
    (
        [*TABLE_REGRESSION, "train.monitor=val/balanced_accuracy"],
        "train.monitor val/balanced_accuracy is not a score of a regression (data.name diabetes)",
    ),
    (
        ["schedule.warmup_epochs=10", "train.epochs=10"],
        "schedule.warmup_epochs must be < train.epochs, got 10 and 10",
    ),
    (
        ["data.name=wine", "regularize.cutmix=1.0"],
        "regularize.cutmix needs images, but data.name wine is a table; use mixup",
    ),
    (
        ["regularize.cutmix=1.0", "regularize.mixup=0.2"],
        "regularize.mixup and regularize.cutmix exclude each other, got 0.2 and 1; set one to 0",
    ),
    (
        ["model.norm=instance"],
        "model.norm instance is for model.name cnn, got mlp; use layer",
    ),
    (
        ["model.norm=group", "model.groups=3"],
        "model.groups must divide every width of the network (model.norm group, model.hidden), got 3 and [128, 64]",
    ),
    (
        ["model.name=cnn", "model.norm=group", "model.groups=3"],
        "model.groups must divide every width of the network (model.norm group, model.channels), got 3 and [32, 64",
    ),
    (
        ["model.residual=true"],
        "model.residual true needs two neighbours of equal width in model.hidden, got [128, 64]",
    ),
    (
        ["model.name=resnet18", "data.name=wine"],
        "model.name resnet18 needs images, but data.name wine is a table; use mlp",
    ),
    (["model.name=cnn", "model.residual=true"], "model.residual true is for model.name mlp, got cnn"),
    (["model.channel_dropout=0.1"], "model.channel_dropout is for model.name cnn, got 0.1 and mlp; set it to 0, or"),
    (
        ["model.name=resnet18", "model.norm=none"],
        "model.name resnet18 does not learn without norms; use model.norm batch, layer or group",
    ),
    (
        ["model.name=resnet18", "model.norm=instance"],
        "model.norm instance is for model.name cnn, got resnet18; use layer",
    ),
    (
        ["model.name=vgg11", "model.norm_first=false"],
        "model.norm_first false is for mlp and cnn, got model.name vgg11",
    ),
    (
        ["model.name=efficientnet_b0"],
        "model.name efficientnet_b0 is built with silu: set model.activation to it, got relu",
    ),
    (
        ["model.name=mobilenet_v3_small", "model.activation=silu"],
        "model.name mobilenet_v3_small is built with hardswish: set model.activation to it, got silu",
    ),
    (
        ["model.name=resnet18", "model.norm=group", "model.groups=3"],
        "model.groups must divide every width of the network (model.norm group, model.name resnet18), got 3 and [64]",
    ),
    (
        ["loss.name=focal", "loss.label_smoothing=0.1"],
        "loss.label_smoothing must be 0 with loss.name focal, got 0.1",
    ),
    (
        ["data.name=diabetes", "loss.class_weights=balanced"],
        "loss.class_weights must be none for a regression (data.name diabetes), got balanced",
    ),
    (
        ["loss.name=huber"],
        "loss.name huber is for regression, but data.name digits has classes; use cross_entropy or auto",
    ),
    (
        ["data.name=diabetes", "loss.name=bce"],
        "loss.name bce is for classes, but data.name diabetes is a regression; use mse or auto",
    ),
    (
        ["optim.name=adamw", "optim.decay=coupled"],
        "optim.decay coupled makes adamw adam",
    ),
    (
        ["optim.name=lamb", "optim.decay=decoupled"],
        "optim.decay must be auto for optim.name lamb, whose decay is a part of its update, got decoupled",
    ),
    (
        ["optim.name=sgd", "optim.nesterov=true", "optim.momentum=0.0"],
        "optim.nesterov true needs optim.momentum > 0 with optim.name sgd, got 0",
    ),
    (
        ["schedule.milestones=[5, 5, 9]"],
        "schedule.milestones must rise, got [5, 5, 9]",
    ),
    (
        ["schedule.min_lr=0.1", "optim.lr=0.01"],
        "schedule.min_lr must be <= optim.lr with schedule.name cosine, got 0.1 and 0.01",
    ),
    (
        ["schedule.name=plateau", "schedule.min_lr=0.002"],
        "tune.space.optim.lr.low 0.001: schedule.min_lr must be <= optim.lr with schedule.name plateau, got 0.002 and",
    ),
    (["train.batch_size=1", "model.norm=batch"], "train.batch_size 1 "),
    (
        ["data.name=digits", "model.name=timm/resnet18", "model.freeze=partial", "model.weights=random"],
        "model.freeze partial keeps weights as they are, and model.weights random have learned nothing; use ",
    ),
    (
        ["data.name=digits", "model.name=timm/resnet18", "model.feature_copies=2"],
        "with model.freeze true, data.augment and model.feature_copies go together: ",
    ),
    (
        ["data.name=digits", "model.name=timm/resnet18", "model.feature_copies=null"],
        "model.feature_copies must be a number with model.freeze true, got null; use 0",
    ),
    (
        ["data.name=digits", "model.name=timm/resnet18", "model.freeze=partial", "data.augment=light"],
        "with model.freeze partial, data.augment and model.feature_copies go together: ",
    ),
    (
        [
            "data.name=digits",
            "data.folds=3",
            "model.name=timm/resnet18",
            "model.feature_copies=2",
            "data.augment=light",
        ],
        "model.feature_copies must be 0 with data.folds, which would validate with the copies, got 2",
    ),
    (
        ["data.name=digits", "model.name=timm/resnet18", "model.freeze=false", "regularize.input_noise=0.1"],
        "regularize.input_noise must be 0 for model.name timm/resnet18, which takes pixels as they are, got 0.1; ",
    ),
    (
        ["data.name=digits", "model.name=timm/resnet18", "regularize.cutmix=1.0"],
        "regularize.cutmix needs pixels or maps, but with model.freeze true training takes features, which have no ",
    ),
    (
        ["data.name=digits", "tune.space={model: {name: [cnn, timm/resnet18]}}"],
        "tune.space.model.name cannot name networks of timm: weights are fetched and features are computed before ",
    ),
    (
        ["tune.space={model: {freeze: [true, false]}}"],
        "tune.space.model.freeze cannot be searched: weights are fetched and features are computed before the study",
    ),
    (
        ["tune.space={model: {partial: [1, 2]}}"],
        "tune.space.model.partial cannot be searched: it decides of which stages maps are computed before the study; "
        "compare its values by a study each, `dvc exp run -S model.partial=3`",
    ),
    (["data.name=moons", "model.name=timm/a"], "model.name timm/a needs images, but data.name moons is a table"),
    (
        ["data.name=digits", "model.name=timm/a", "model.norm=instance", "model.norm_first=false"],
        "model.norm instance is for model.name cnn, got timm/a; use layer",
    ),
    (
        ["data.name=digits", "model.name=timm/a", "model.norm=group", "model.groups=3"],
        "model.groups must divide every width of the network (model.norm group, model.hidden), got 3",
    ),
    (
        [
            "data.name=digits",
            "model.name=timm/a",
            "model.norm=none",
            "model.residual=true",
            "model.channel_dropout=0.1",
        ],
        "model.channel_dropout is for model.name cnn, got ",
    ),
]


@pytest.mark.parametrize(("overrides", "rule"), CONTRADICTIONS)
def test_keys_that_contradict_each_other(overrides: list[str], rule: str) -> None:
    text = mistake(*overrides)
    assert text.startswith(rule)
    assert text.endswith(f"({SHIPPED}, --set)")


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.val_fraction=0.5", "data.test_fraction=0.49"],
        ["model.name=cnn"],
        ["data.name=mnist", "data.task=binary"],
        ["data.name=digits", "data.target=price"],
        [*OWN, "loss.name=bce"],
        [*OWN, "loss.name=mse", "train.monitor=val/r2"],
        ["data.name=images", "model.name=cnn"],
        ["model.name=cnn", "model.channel_dropout=0.1"],
        ["model.name=resnet18", "model.norm=group"],
        ["model.name=vgg11", "model.norm=none", "model.activation=tanh"],
        ["model.name=efficientnet_b0", "model.activation=silu"],
        [*TABLE_REGRESSION, "loss.name=mse", "train.monitor=val/r2"],
        ["loss.name=cross_entropy", "loss.label_smoothing=0.1", "train.monitor=val/macro_f1"],
        ["schedule.warmup_epochs=9", "train.epochs=10"],
        ["schedule.min_lr=0.003", "optim.lr=0.003"],
        ["schedule.min_lr=0.003", "tune.enabled=false"],
        ["schedule.min_lr=1.0", "schedule.name=constant"],
        ["train.batch_size=1", "model.norm=none"],
        ["model.hidden=[]", "tune.space={}"],
    ],
)
def test_keys_on_the_good_side_of_each_contradiction(overrides: list[str]) -> None:
    load_params(SHIPPED, overrides)


# --set


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("optim.lr=1e-3", "optim.lr", 0.001),
        ("optim.lr=1", "optim.lr", 1),
        ("optim.lr = 0.5", "optim.lr", 0.5),
        ("model.hidden=[]", "model.hidden", []),
        ("model.hidden=[8, 16]", "model.hidden", [8, 16]),
        ("optim.clip_norm=1.5", "optim.clip_norm", 1.5),
        ("train.patience=null", "train.patience", None),
        ("tune.enabled=false", "tune.enabled", False),
        ("tune.storage=a=b", "tune.storage", "a=b"),
        ("schedule.name=step", "schedule.name", "step"),
        ("tune.space.model.dropout.high=0.5", "tune.space.model.dropout.high", 0.5),
    ],
)
def test_set_replaces_one_value(params: Params, text: str, key: str, value: Any) -> None:
    changed = load_params(SHIPPED, [text]).flat()
    assert changed[key] == value
    before = params.flat()
    searched = f"tune.space.{key}"  # what is given is no longer searched
    for other in before:
        if other != key and not other.startswith(searched):
            assert changed[other] == before[other]


def test_the_last_set_wins() -> None:
    assert load_params(SHIPPED, ["train.epochs=5", "train.epochs=6"]).train.epochs == 6


@pytest.mark.parametrize("text", ["optim.lr=", "optim.lr=  "])
def test_an_empty_value_means_as_in_the_file(params: Params, text: str) -> None:
    assert load_params(SHIPPED, [text]) == params


@pytest.mark.parametrize("key", ["optim.lr", "optim.weight_decay", "model.dropout"])
def test_a_value_that_is_set_is_not_searched(params: Params, key: str) -> None:
    changed = load_params(SHIPPED, [f"{key}=0.25"])
    assert set(params.tune.searched) - set(changed.tune.searched) == {key}


@pytest.mark.parametrize("text", ["optim.lr", "", "=3", "optim.lr:0.1"])
def test_set_without_an_equals_sign(text: str) -> None:
    assert mistake(text) == f"--set takes KEY=VALUE, such as optim.lr=0.01, got {text!r}"


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("optim.lrr", "did you mean optim.lr?"),
        ("lr", "did you mean optim.lr?"),
        ("optm.lr", "did you mean optim.lr?"),
        ("schedule.warmup", "did you mean schedule.warmup_epochs?"),
        ("tune.space.optim.ler", "did you mean tune.space.optim.lr"),
        ("optim.lr.x", ""),
        ("zzzzzz", "sections are data, model, train"),
        (".", "sections are data, model, train"),
    ],
)
def test_set_of_an_unknown_key(key: str, hint: str) -> None:
    text = mistake(f"{key}=1")
    assert text.startswith(f"{key} is not a key of params.yaml; {hint}")
    assert text.endswith("(--set)")


@pytest.mark.parametrize("value", ["[1", "{a: ", "*x", "@x", "'x", "2024-13-45", "0b_"])
def test_set_to_what_is_not_yaml(value: str) -> None:
    text = mistake(f"optim.lr={value}")
    assert text.startswith("--set optim.lr: value ")
    assert "not valid YAML" in text


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(key=st.sampled_from([*flatten(TREE), *TREE]), value=YAML_VALUES)
def test_any_value_is_taken_or_refused_in_one_line(key: str, value: Any) -> None:
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = True
    yaml.dump(value, text)
    try:
        load_params(SHIPPED, [f"{key}={text.getvalue()}"])
    except WellfitError as error:
        said = str(error)
    else:
        said = "--set: taken"
    assert len(said.splitlines()) == 1
    assert "--set" in said
