"""A comparison as its file in ``comparisons/`` says it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from wellfit.config import Config, as_tuple


class Comparison(Config):
    """A question, and the trainings that answer it.

    Attributes:
        title: a few words.
        question: one sentence.
        expectation: what is known, one sentence; a result that disagrees is to be read with it.
        base: dotted key to value, over ``comparisons/base.yaml``.
        variants: name to dotted key to value, over ``base``. The first is what the others are compared with.
        seeds: how many, 0, 1, 2, ...; the same for each variant, so that differences are paired.
        weights: which are scored: those of the best validation epoch, or of the last epoch.
        measure: scores to tell, such as ``test/accuracy`` and ``gap/accuracy``, the most important first.
    """

    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    expectation: str = Field(min_length=1)
    base: dict[str, Any]
    variants: dict[str, dict[str, Any]] = Field(min_length=1)
    seeds: int = Field(ge=2, le=100)
    weights: Literal["best", "last"]
    measure: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]
