"""The section ``evaluate`` of ``params.yaml``."""

from pydantic import Field

from wellfit.config import Config


class EvaluateConfig(Config):
    resamples: int = Field(ge=100, le=100_000)
    seed: int = Field(ge=0, lt=2**32)
    calibration_bins: int = Field(ge=2, le=100)
