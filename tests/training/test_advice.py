from pathlib import Path
from typing import Any

import pytest

from wellfit.settings.params import Params, load_params
from wellfit.training.advice import AGAINST, advise, turnable_settings

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def settings_of(*overrides: str, kind: Any = "table", classes: int = 2) -> dict[str, Any]:
    name = "breast_cancer" if kind == "table" else "digits"
    return turnable_settings(load_params(SHIPPED, [f"data.name={name}", *overrides]), kind, classes)


def test_each_key_that_is_named_is_a_key() -> None:
    keys = load_params(SHIPPED).flat()
    assert {one.key for advice in AGAINST.values() for one in advice} <= set(keys)


@pytest.mark.parametrize("fault", AGAINST)
def test_each_value_that_is_named_may_be_set(fault: str) -> None:
    for one in AGAINST[fault]:
        data = ["data.name=digits", "model.name=cnn"] if one.key == "data.augment" else ["data.name=breast_cancer"]
        hidden = ["model.hidden=[64, 64]"] if one.key == "model.residual" else []
        for value in one.value.split(" or ") if not one.value.startswith("(") else []:
            if value:
                assert isinstance(load_params(SHIPPED, [*data, *hidden, f"{one.key}={value}"]), Params)


def test_all_of_it_is_said_where_the_settings_are_not_known() -> None:
    assert advise("over-fitting", None) == (
        "raise model.dropout or optim.weight_decay, or try data.augment light, regularize.mixup or optim.l1, or take a "
        "smaller network by model.hidden or model.channels"
    )


@pytest.mark.parametrize(
    ("fault", "overrides", "expected"),
    [
        ("over-fitting", [], "raise model.dropout or optim.weight_decay, or try regularize.mixup or optim.l1, or take"),
        ("over-fitting", ["model.dropout=0.8"], "raise optim.weight_decay, or try"),
        (
            "over-fitting",
            ["regularize.mixup=0.2", "optim.l1=0.1"],
            "raise model.dropout or optim.weight_decay, or take",
        ),
        ("over-fitting", ["model.name=linear"], "raise optim.weight_decay, or try regularize.mixup or optim.l1"),
        (
            "under-fitting",
            ["model.dropout=0", "optim.weight_decay=0"],
            "or train.epochs, or take a larger network",
        ),
        ("exploding gradients", [], "or set optim.clip_norm, or use another model.init"),
        ("exploding gradients", ["optim.clip_norm=1"], "shows how far) or optim.clip_norm, or use another"),
        (
            "exploding gradients",
            ["model.norm=layer"],
            "or set optim.clip_norm, or use model.norm batch, or",
        ),
        ("vanishing gradients", [], "use another model.init, or take fewer layers by model.hidden"),
        (
            "vanishing gradients",
            ["model.activation=tanh", "model.hidden=[8]"],
            "use model.activation relu, or",
        ),
        ("vanishing gradients", ["model.hidden=[8, 8]"], "use model.residual true, or use another"),
        ("dead units", ["model.activation=gelu"], "shows how far), or use another model.init"),
        ("rare class", [], "loss.class_weights balanced, evaluate.threshold f1 or train.monitor val/average_precision"),
        ("rare class", ["loss.class_weights=balanced", "evaluate.threshold=0.1"], "set train.monitor val/average_prec"),
        ("rare class", ["train.monitor=val/average_precision"], "loss.class_weights balanced or evaluate.threshold f1"),
        ("few rows to validate", [], "set data.folds 5, or raise data.val_fraction"),
        ("few rows to validate", ["data.folds=3"], "raise data.val_fraction"),
        ("worse than a constant", [], "lower optim.lr"),
    ],
)
def test_what_is_set_already_or_makes_no_difference_is_not_advised(
    fault: str, overrides: list[str], expected: str
) -> None:
    assert expected in advise(fault, settings_of(*overrides))


def test_images_and_classes_have_advice_of_their_own() -> None:
    images = settings_of("model.name=cnn", kind="images", classes=10)
    assert advise("over-fitting", images).endswith(
        "or try data.augment light, regularize.mixup or optim.l1, or take a smaller network by model.channels"
    )
    with_cutmix = settings_of("model.name=cnn", "regularize.cutmix=1", kind="images", classes=10)
    assert "mixup" not in advise("over-fitting", with_cutmix)
    for kind, lowered in (("images", True), ("maps", True), ("features", False)):
        said = advise("too much noise", settings_of("model.name=cnn", "regularize.cutmix=1", kind=kind, classes=10))
        assert ("regularize.cutmix" in said) == lowered
    assert "evaluate.threshold" not in advise("rare class", images)
    assert advise("few rows to validate", images) == "raise data.val_fraction"


def test_nothing_left_is_nothing_said() -> None:
    settings = settings_of("model.dropout=0", "model.input_dropout=0", "regularize.input_noise=0", "regularize.mixup=0")
    assert advise("too much noise", settings) == ""
