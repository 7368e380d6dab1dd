"""The key ``data.augment`` of ``params.yaml``: how training images are augmented."""

import difflib
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator
from pydantic_core import PydanticKnownError

from wellfit.config import Config

PresetName = Literal["light", "strong"]

# As a user would write them. Neither mirrors, since a mirrored letter or digit is another or none.
PRESETS: dict[PresetName, list[dict[str, Any]]] = {
    "light": [
        {"rotate": 10},
        {"shift": 0.05},
        {"zoom": [0.9, 1.1]},
        {"colour": {"brightness": 0.1, "contrast": 0.1}},
    ],
    "strong": [
        {"rotate": 20},
        {"shift": 0.1},
        {"zoom": [0.8, 1.2]},
        {"shear": 10},
        {"colour": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05}},
        {"erase": {"probability": 0.5, "area": [0.02, 0.2]}},
    ],
}


def _rising(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError(f"the low end must come first, got {list(interval)}")
    return interval


Factor = Annotated[float, Field(gt=0, le=100)]
Probability = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
# Not strict about the pair itself, which is a list in YAML and JSON.
Factors = Annotated[tuple[Factor, Factor], Field(strict=False), AfterValidator(_rising)]
Shares = Annotated[tuple[Share, Share], Field(strict=False), AfterValidator(_rising)]


class Erase(Config):
    """A black box: how often, and from which to which share of the image's area."""

    probability: Probability
    area: Shares


class Colour(Config):
    """Largest changes, as of torchvision's ColorJitter: of a factor from 1, of the hue in turns; None: no change."""

    brightness: float | None = Field(default=None, gt=0, le=1)
    contrast: float | None = Field(default=None, gt=0, le=1)
    saturation: float | None = Field(default=None, gt=0, le=1)
    hue: float | None = Field(default=None, gt=0, le=0.5)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if all(value is None for _, value in self):
            raise ValueError(f"name at least one of {', '.join(Colour.model_fields)}")
        return self


class Operations(Config):
    """What is done to each image, with the range it is drawn from; None: it is not done.

    Attributes:
        rotate: degrees, at most, either way.
        shift: share of width and height, at most, either way.
        zoom: factors, from and to.
        shear: degrees, at most, either way, along the rows.
        flip_horizontal: probability of mirroring left and right.
        flip_vertical: probability of mirroring top and bottom.
        crop: pixels of black around the image before a crop of its own size is taken from it.
        erase: a black box.
        colour: jitter of the colours.
    """

    rotate: float | None = Field(default=None, gt=0, le=180)
    shift: float | None = Field(default=None, gt=0, le=1)
    zoom: Factors | None = None
    shear: float | None = Field(default=None, gt=0, lt=90)
    flip_horizontal: Probability | None = None
    flip_vertical: Probability | None = None
    crop: int | None = Field(default=None, gt=0, le=4096)
    erase: Erase | None = None
    colour: Colour | None = None


def _read(value: Any) -> Any:
    if isinstance(value, Operations) or value in ("none", *PRESETS):
        return value
    if not isinstance(value, list):
        raise PydanticKnownError("literal_error", {"expected": "none, light, strong or a list of operations"})
    return Operations.model_validate(_merge(value))


def _merge(entries: list[Any]) -> dict[str, Any]:
    """One range for each operation of a list; its own entries override those of a preset."""
    presets: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for entry in entries:
        if entry in get_args(PresetName):
            presets |= _merge(PRESETS[entry])
        elif not isinstance(entry, dict):
            raise ValueError(f"each entry must be light, strong or an operation, such as {{rotate: 15}}, got {entry!r}")
        elif twice := own.keys() & entry.keys():
            raise ValueError(f"{min(twice, key=str)} stands in the list twice; keep one")
        else:
            own |= entry
    for name in own:
        if name not in Operations.model_fields:
            raise ValueError(f"there is no operation {name!r}; {_meant(name)}")
    merged = presets | own
    if all(value is None for value in merged.values()):
        raise ValueError("the list names no operation; use none")
    return merged


def _meant(name: Any) -> str:
    known = [*Operations.model_fields]
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def _written(value: Any) -> Any:
    if isinstance(value, Operations):
        return [{name: values} for name, values in value.model_dump(mode="json", exclude_none=True).items()]
    return value


# A list is read into Operations, and written as a list again.
Augmentation = Annotated[Literal["none", PresetName] | Operations, PlainValidator(_read), PlainSerializer(_written)]


def operations(augmentation: Augmentation) -> Operations:
    """The operations of ``data.augment``: those of a preset, of the list, or none."""
    if isinstance(augmentation, Operations):
        return augmentation
    return Operations.model_validate({} if augmentation == "none" else _merge(PRESETS[augmentation]))
