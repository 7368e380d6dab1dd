"""The rules of the section ``model``."""

from itertools import pairwise
from typing import Any

from wellfit.config import Rule
from wellfit.models import MODELS


def _names_reading(key: str) -> str:
    """Names of the models that read a key, for a message."""
    return " and ".join(name for name, model in MODELS.items() if key in model.reads)


INSTANCE = " and ".join(name for name, model in MODELS.items() if "instance" not in model.lacks_norms)
TOGETHER = (
    "data.augment and model.feature_copies go together: the features of so many augmented copies of each training "
    "image are computed, too; got {data.augment} and {model.feature_copies}"
)


def _copies_nothing(params: Any) -> bool:
    """Whether images are augmented and none is copied, or the other way round."""
    augments: bool = params.data.augment != "none"
    return augments != bool(params.model.feature_copies)


def _groups_divide(widths: str) -> Rule:
    """The rule of networks whose widths stand in a key of the section."""
    return Rule(
        ("model.groups", "model.norm", "model.name", "model.freeze", f"model.{widths}"),
        lambda p, _: (
            p.model.norm == "group"
            and p.model.entry.widths == widths
            and any(width % p.model.groups for width in getattr(p.model, widths))
        ),
        f"model.groups must divide every width of the network (model.norm group, model.{widths}), got {{model.groups}} "
        f"and {{model.{widths}}}",
    )


RULES = [
    Rule(
        ("model.name", "model.freeze", "model.feature_copies", "data.name"),
        lambda p, data: p.model.entry.needs_images and data.kind == "table",
        "model.name {model.name} needs images, but data.name {data.name} is a table; use mlp",
    ),
    Rule(
        ("model.norm", "model.name", "model.freeze"),
        lambda p, _: p.model.norm == "instance" and "instance" in p.model.entry.lacks_norms,
        f"model.norm instance is for model.name {INSTANCE}, got {{model.name}}; use layer",
    ),
    Rule(
        ("model.norm", "model.name", "model.freeze"),
        lambda p, _: p.model.norm == "none" and "none" in p.model.entry.lacks_norms,
        "model.name {model.name} does not learn without norms; use model.norm batch, layer or group",
    ),
    Rule(
        ("model.norm_first", "model.name", "model.freeze"),
        lambda p, _: (
            not p.model.norm_first and "norm" in p.model.entry.reads and "norm_first" not in p.model.entry.reads
        ),
        f"model.norm_first false is for {_names_reading('norm_first')}, got model.name {{model.name}}",
    ),
    Rule(
        ("model.activation", "model.name", "model.freeze", "model.feature_copies"),
        lambda p, _: p.model.entry.activation not in (None, p.model.activation),
        "model.name {model.name} is built with {model.entry.activation}: set model.activation to it, got "
        "{model.activation}",
    ),
    Rule(
        ("model.channel_dropout", "model.name", "model.freeze"),
        lambda p, _: p.model.channel_dropout > 0 and "channel_dropout" not in p.model.entry.reads,
        f"model.channel_dropout is for model.name {_names_reading('channel_dropout')}, got "
        "{model.channel_dropout:g} and {model.name}; set it to 0, or use model.dropout",
    ),
    Rule(
        ("model.residual", "model.name", "model.freeze"),
        lambda p, _: p.model.residual and "residual" not in p.model.entry.reads,
        f"model.residual true is for model.name {_names_reading('residual')}, got {{model.name}}",
    ),
    *map(_groups_divide, dict.fromkeys(model.widths for model in MODELS.values() if isinstance(model.widths, str))),
    Rule(
        ("model.groups", "model.norm", "model.name", "model.freeze", "model.feature_copies"),
        lambda p, _: (
            p.model.norm == "group"
            and isinstance(p.model.entry.widths, int)
            and p.model.entry.widths % p.model.groups != 0
        ),
        "model.groups must divide every width of the network (model.norm group, model.name {model.name}), got "
        "{model.groups} and [{model.entry.widths}]",
    ),
    Rule(
        ("model.residual", "model.hidden"),
        lambda p, _: p.model.residual and not any(a == b for a, b in pairwise(p.model.hidden)),
        "model.residual true needs two neighbours of equal width in model.hidden, got {model.hidden}",
    ),
    Rule(
        ("model.name", "model.freeze", "model.weights"),
        lambda p, _: p.model.is_of_timm and p.model.freeze is not False and p.model.weights == "random",
        "model.freeze {model.freeze} keeps weights as they are, and model.weights random have learned nothing; use "
        "model.weights pretrained, or model.freeze false",
    ),
    Rule(
        ("model.name", "model.freeze", "model.feature_copies"),
        lambda p, _: p.model.is_frozen and p.model.feature_copies is None,
        "model.feature_copies must be a number with model.freeze true, got null; use 0",
    ),
    Rule(
        ("model.name", "model.freeze", "model.feature_copies", "data.augment"),
        lambda p, _: p.model.is_frozen and _copies_nothing(p),
        f"with model.freeze true, {TOGETHER}",
    ),
    Rule(
        ("model.name", "model.freeze", "model.feature_copies", "data.augment"),
        lambda p, _: p.model.has_features and not p.model.is_frozen and _copies_nothing(p),
        f"with model.freeze partial, {TOGETHER}; null augments images anew in each epoch, and passes them through all "
        "stages",
    ),
    Rule(
        ("model.name", "model.freeze", "model.feature_copies", "data.folds"),
        lambda p, _: p.model.is_frozen and bool(p.model.feature_copies) and p.data.folds is not None,
        "model.feature_copies must be 0 with data.folds, which would validate with the copies, got "
        "{model.feature_copies}",
    ),
    Rule(
        ("model.name", "model.freeze", "regularize.input_noise"),
        lambda p, _: p.model.is_of_timm and not p.model.is_frozen and p.regularize.input_noise > 0,
        "regularize.input_noise must be 0 for model.name {model.name}, which takes pixels as they are, got "
        "{regularize.input_noise:g}; use data.augment",
    ),
]
