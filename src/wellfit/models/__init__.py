"""Networks: the section ``model`` of ``params.yaml``, and the networks it can name."""

from __future__ import annotations

import re
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator
from pydantic_core import PydanticCustomError, PydanticKnownError

from wellfit.config import Config, Count, Counts, OneOf, Positive, as_tuple, auto_or_between
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
HEAD = ("hidden", "residual", "dropout", "input_dropout", "norm", "groups", "norm_first", "activation")
VISION = ("dropout", "input_dropout", "norm", "groups")
NORMED = ("instance", "none")  # norms of networks that do not learn without any
MODELS = {
    "mlp": Model(
        "mlp:mlp",
        (*HEAD, *EMBEDDING),
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

# Networks of timm with a head of their own, a multilayer perceptron. By what is frozen, and by whether what that puts
# out is computed once and the rest trained on it.
TIMM = "timm/"
PRETRAINED = ("weights", "freeze", "input_size", "pooled")
PARTIAL = (*HEAD, *PRETRAINED, "partial", "feature_copies")
TIMM_MODELS = {
    (True, True): Model("mlp:mlp", (*HEAD, *PRETRAINED, "feature_copies"), packs=True, widths="hidden"),
    ("partial", True): Model("fine_tuned:last_stages", PARTIAL, widths="hidden"),
    ("partial", False): Model("fine_tuned:fine_tuned", PARTIAL, widths="hidden"),
    (False, False): Model("fine_tuned:fine_tuned", (*HEAD, *PRETRAINED), widths="hidden"),
}


def _network_name(value: Any) -> str:
    """A name of the table, or of a network of timm."""
    if isinstance(value, str) and (value in MODELS or re.fullmatch(rf"{TIMM}\w[\w.-]*", value)):
        return value
    raise PydanticKnownError("literal_error", {"expected": f"{', '.join(MODELS)} or {TIMM}<name>"})


def _freeze(value: Any) -> Any:
    if value is True or value is False or value == "partial":
        return value
    raise PydanticCustomError("freeze", "must be true, false or partial")


def _pooled(entry: str) -> str:
    if not re.fullmatch(r"[^/]+(/[1-9]\d?)?", entry):
        raise PydanticCustomError("pooled", "must name a module, such as blocks.6, or blocks.6/2 for 2 x 2 fields")
    return entry


def pooled_module(entry: str) -> tuple[str, int]:
    """The module that an entry of ``model.pooled`` names, and the fields in each direction that it is averaged in."""
    name, _, fields = entry.partition("/")
    return name, int(fields or 1)


class ModelConfig(Config):
    name: Annotated[str, PlainValidator(_network_name)]
    weights: Annotated[str, Field(min_length=1)]
    freeze: Annotated[bool | Literal["partial"], PlainValidator(_freeze)]
    partial: Count
    input_size: Annotated[Literal["auto"] | int, auto_or_between(8, 4096)]
    pooled: Annotated[tuple[Annotated[str, AfterValidator(_pooled)], ...], BeforeValidator(as_tuple)]
    feature_copies: int | None = Field(ge=0, le=1000)
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
        return TIMM_MODELS[self.freeze, self.has_features] if self.is_of_timm else MODELS[self.name]

    @property
    def is_of_timm(self) -> bool:
        """Whether the network is one of timm."""
        return self.name.startswith(TIMM)

    @property
    def is_frozen(self) -> bool:
        """Whether a head alone is trained, on the features of a network of timm."""
        return self.is_of_timm and self.freeze is True

    @property
    def has_features(self) -> bool:
        """Whether training takes what a frozen network, or its frozen stages, put out, which is computed once."""
        return self.is_frozen or (self.is_of_timm and self.freeze == "partial" and self.feature_copies is not None)

    @property
    def is_pretrained(self) -> bool:
        """Whether training begins with weights that were trained before."""
        return self.is_of_timm and self.weights != "random"


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
    if kind != "table":
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
    if kind != "table" or name not in config.entry.reads:
        return f"model.name {config.name} does not read it on {'tables' if kind == 'table' else 'images'}"
    idle = "category" if name == "category_width" else "embedding"
    return f"model.{idle} {getattr(config, idle)} does not read it"
