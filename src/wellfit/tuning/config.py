"""The section ``tune`` of ``params.yaml``."""

from pathlib import PurePath
from typing import Literal, Self

from pydantic import Field, model_validator

from wellfit.config import Config


class Range(Config):
    """An interval to search, both ends included, on a linear or a logarithmic scale."""

    low: float
    high: float
    log: bool

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be < high, got low {self.low:g} and high {self.high:g}")
        if self.log and not self.low > 0:
            raise ValueError(f"low must be > 0 on a logarithmic scale, got {self.low:g}")
        return self


class LrRange(Range):
    """Of ``optim.lr``."""

    low: float = Field(gt=0)


class WeightDecayRange(Range):
    """Of ``optim.weight_decay``."""

    low: float = Field(ge=0)


class DropoutRange(Range):
    """Of ``model.dropout``."""

    low: float = Field(ge=0)
    high: float = Field(lt=1)


class OptimSpace(Config):
    """What is searched in ``optim``."""

    lr: LrRange | None = None
    weight_decay: WeightDecayRange | None = None


class ModelSpace(Config):
    """What is searched in ``model``."""

    dropout: DropoutRange | None = None


class Space(Config):
    """The keys that are searched, laid out like ``params.yaml`` itself; a key that is left out keeps its value."""

    optim: OptimSpace | None = None
    model: ModelSpace | None = None


class TuneConfig(Config):
    enabled: bool
    n_trials: int = Field(ge=1)
    max_steps: int | None = Field(ge=1)
    space: Space
    pruner: Literal["median", "none"]
    pruner_startup_trials: int = Field(ge=0)
    pruner_warmup_epochs: int = Field(ge=0)
    seed: int = Field(ge=0, lt=2**32)
    storage: str = Field(min_length=1)

    @model_validator(mode="after")
    def _stored_inside(self) -> Self:
        path = PurePath(self.storage)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"storage must be a folder below the repository's root, got {self.storage!r}")
        return self

    @property
    def ranges(self) -> dict[str, Range]:
        """Dotted key of ``params.yaml`` to the interval to search."""
        return {
            f"{section}.{key}": interval
            for section, keys in self.space
            if keys is not None
            for key, interval in keys
            if interval is not None
        }
