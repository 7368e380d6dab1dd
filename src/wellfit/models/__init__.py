"""Networks: the section ``model`` of ``params.yaml``, its rules, and the networks it can name."""

from __future__ import annotations

from itertools import pairwise
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from wellfit.config import Config, Count, Counts, OneOf, Positive, Rule, auto_or_between
from wellfit.models.init import INITS, initialize
from wellfit.models.layers import ACTIVATIONS, NORMS
from wellfit.models.numeric import NUMERIC

if TYPE_CHECKING:
    from torch import nn

    from wellfit.data.meta import Kind
    from wellfit.models.embedding import TableColumns


class Model(NamedTuple):
    """A network.

    Attributes:
        builder: ``module:function`` below `wellfit.models`, imported when one is built. The function takes the section,
            the shape of a sample and the number of outputs, and returns a module from (B, *input_shape) to
            (B, outputs).
        reads: keys of the section that it takes, besides ``init`` and ``init_std``.
        needs_images: whether a sample is (channels, height, width).
        packs: whether several can be stacked to train as one (`wellfit.models.packed`).
        widths: what has to be a multiple of ``model.groups``: the key that holds the widths, or a common divisor.
        activation: the one it is built with; None: ``model.activation`` decides.
        lacks_norms: those that it cannot be built with.
    """

    builder: str
    reads: tuple[str, ...]
    needs_images: bool = True
    packs: bool = False
    widths: str | int | None = None
    activation: str | None = None
    lacks_norms: tuple[str, ...] = ("instance",)


EMBEDDINGS = {
    "none": None,
    "ple": "embedding:piecewise_linear",
    "periodic": "embedding:periodic",
    "cosine": "embedding:cosine",
}
OF_EMBEDDING = ("embedding_size", "embedding_scale", "embedding_width", "embedding_input")  # read where there is one
EMBEDDING = ("embedding", *OF_EMBEDDING, "category", "category_width")
VISION = ("dropout", "input_dropout", "norm", "groups")
NORMED = ("instance", "none")  # norms of networks that do not learn without any
MODELS = {
    "mlp": Model(
        "mlp:mlp",
        (
            *("hidden", "residual", "dropout", "input_dropout", "norm", "groups", "norm_first", "activation"),
            *EMBEDDING,
        ),
        needs_images=False,
        packs=True,
        widths="hidden",
    ),
    "cnn": Model(
        "cnn:cnn",
        (*VISION, "channels", "convolutions", "channel_dropout", "norm_first", "activation"),
        widths="channels",
        lacks_norms=(),
    ),
    "linear": Model("mlp:linear", ("input_dropout",), needs_images=False, packs=True),
    "resnet18": Model("vision:resnet", (*VISION, "activation"), widths=64, lacks_norms=NORMED),
    "resnet34": Model("vision:resnet", (*VISION, "activation"), widths=64, lacks_norms=NORMED),
    "resnet50": Model("vision:resnet", (*VISION, "activation"), widths=64, lacks_norms=NORMED),
    "vgg11": Model("vision:vgg", (*VISION, "activation"), widths=64),
    "mobilenet_v3_small": Model("vision:mobilenet", VISION, widths=8, activation="hardswish", lacks_norms=NORMED),
    "efficientnet_b0": Model("vision:efficientnet", VISION, widths=8, activation="silu", lacks_norms=NORMED),
}


class ModelConfig(Config):
    name: Annotated[str, OneOf(MODELS)]
    hidden: Annotated[Counts, Field(min_length=0, max_length=64)]
    residual: bool
    channels: Annotated[Counts, Field(min_length=1, max_length=16)]
    convolutions: int = Field(ge=1, le=16)
    dropout: float = Field(ge=0, lt=1)
    input_dropout: float = Field(ge=0, lt=1)
    channel_dropout: float = Field(ge=0, lt=1)
    norm: Annotated[str, OneOf(NORMS)]
    groups: Count
    norm_first: bool
    activation: Annotated[str, OneOf(ACTIVATIONS)]
    numeric: Annotated[str, OneOf(NUMERIC)]
    embedding: Annotated[str, OneOf(EMBEDDINGS)]
    embedding_size: Annotated[Literal["auto"] | int, auto_or_between(1, 256)]
    embedding_scale: Positive
    embedding_width: Count | None
    embedding_input: bool
    category: Literal["one_hot", "embedding"]
    category_width: Annotated[Literal["auto"] | int, auto_or_between(1, 256)]
    init: Annotated[str, OneOf(INITS)]
    init_std: Positive

    @property
    def entry(self) -> Model:
        """What the table says of the network."""
        return MODELS[self.name]


def build_model(
    config: ModelConfig, input_shape: tuple[int, ...], outputs: int, columns: TableColumns | None = None
) -> nn.Module:
    """Builds the network with freshly initialized weights, drawn from torch's global generator.

    Args:
        config: the section ``model``.
        input_shape: shape of one sample: (features,) for tables, (channels, height, width) for images.
        outputs: number of classes, or 1 for a regression.
        columns: what the features of a table are, for those that are embedded.

    Returns:
        A module from (B, *input_shape) float32 to (B, outputs) float32.

    Raises:
        WellfitError: an embedding that does not fit the columns.
    """
    build = resolve_name(f"wellfit.models.{config.entry.builder}")
    embedding = None
    if columns is not None and "embedding" in config.entry.reads:
        from wellfit.models.embedding import column_embedding

        embedding = column_embedding(config, columns)
    model: nn.Sequential = build(config, input_shape if embedding is None else (embedding.width,), outputs)
    initialize(model, config)
    return model if embedding is None else type(model)(embedding, *model)


def unread_keys(config: ModelConfig, kind: Kind) -> set[str]:
    """Keys of the section that make no difference to the network.

    Args:
        config: the section ``model``.
        kind: of the data, images or table.
    """
    unread = set(ModelConfig.model_fields) - {"name", "init", "init_std", "numeric", *config.entry.reads}
    if kind == "images":
        return unread | {"numeric", *EMBEDDING}
    if config.embedding == "none":
        unread |= {*OF_EMBEDDING}
    elif config.embedding == "ple":
        unread.add("embedding_scale")
    return unread | ({"category_width"} if config.category == "one_hot" else set())


def why_unread(config: ModelConfig, kind: Kind, key: str) -> str:
    """Which setting makes one of the :func:`unread_keys` idle.

    Args:
        config: the section ``model``.
        kind: of the data, images or table.
        key: such as ``model.dropout``.
    """
    name = key.removeprefix("model.")
    if kind == "images" or name not in config.entry.reads:
        return f"model.name {config.name} does not read it on {'images' if kind == 'images' else 'tables'}"
    idle = "category" if name == "category_width" else "embedding"
    return f"model.{idle} {getattr(config, idle)} does not read it"


def _names_reading(key: str) -> str:
    """Names of the models that read a key, for a message."""
    return " and ".join(name for name, model in MODELS.items() if key in model.reads)


INSTANCE = " and ".join(name for name, model in MODELS.items() if "instance" not in model.lacks_norms)


def _groups_divide(widths: str) -> Rule:
    """The rule of networks whose widths stand in a key of the section."""
    return Rule(
        ("model.groups", "model.norm", "model.name", f"model.{widths}"),
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
        ("model.name", "data.name"),
        lambda p, data: p.model.entry.needs_images and data.kind != "images",
        "model.name {model.name} needs images, but data.name {data.name} is a table; use mlp",
    ),
    Rule(
        ("model.norm", "model.name"),
        lambda p, _: p.model.norm == "instance" and "instance" in p.model.entry.lacks_norms,
        f"model.norm instance is for model.name {INSTANCE}, got {{model.name}}; use layer",
    ),
    Rule(
        ("model.norm", "model.name"),
        lambda p, _: p.model.norm == "none" and "none" in p.model.entry.lacks_norms,
        "model.name {model.name} does not learn without norms; use model.norm batch, layer or group",
    ),
    Rule(
        ("model.norm_first", "model.name"),
        lambda p, _: (
            not p.model.norm_first and "norm" in p.model.entry.reads and "norm_first" not in p.model.entry.reads
        ),
        f"model.norm_first false is for {_names_reading('norm_first')}, got model.name {{model.name}}",
    ),
    Rule(
        ("model.activation", "model.name"),
        lambda p, _: p.model.entry.activation not in (None, p.model.activation),
        "model.name {model.name} is built with {model.entry.activation}: set model.activation to it, got "
        "{model.activation}",
    ),
    Rule(
        ("model.channel_dropout", "model.name"),
        lambda p, _: p.model.channel_dropout > 0 and "channel_dropout" not in p.model.entry.reads,
        f"model.channel_dropout is for model.name {_names_reading('channel_dropout')}, got "
        "{model.channel_dropout:g} and {model.name}; set it to 0, or use model.dropout",
    ),
    Rule(
        ("model.residual", "model.name"),
        lambda p, _: p.model.residual and "residual" not in p.model.entry.reads,
        f"model.residual true is for model.name {_names_reading('residual')}, got {{model.name}}",
    ),
    *map(_groups_divide, dict.fromkeys(model.widths for model in MODELS.values() if isinstance(model.widths, str))),
    Rule(
        ("model.groups", "model.norm", "model.name"),
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
]
