"""The section ``regularize`` of ``params.yaml``, and its rules."""

from typing import Literal

from pydantic import Field

from wellfit.config import Config, PositiveOrZero, Rule


class RegularizeConfig(Config):
    input_noise: PositiveOrZero
    mixup: PositiveOrZero
    cutmix: PositiveOrZero
    average: Literal["none", "ema", "swa"]
    ema_decay: float = Field(gt=0, lt=1)
    swa_start: float = Field(ge=0, lt=1)


RULES = [
    Rule(
        ("regularize.cutmix", "data.name"),
        lambda p, data: p.regularize.cutmix > 0 and data.kind == "table",
        "regularize.cutmix needs images, but data.name {data.name} is a table; use mixup",
    ),
    Rule(
        ("regularize.cutmix", "model.name", "model.freeze"),
        lambda p, _: p.regularize.cutmix > 0 and p.model.is_frozen,
        "regularize.cutmix needs pixels or maps, but with model.freeze true training takes features, which have no "
        "height and width; use mixup",
    ),
    Rule(
        ("regularize.cutmix", "regularize.mixup"),
        lambda p, _: p.regularize.cutmix > 0 and p.regularize.mixup > 0,
        "regularize.mixup and regularize.cutmix exclude each other, got {regularize.mixup:g} and "
        "{regularize.cutmix:g}; set one to 0",
    ),
]
