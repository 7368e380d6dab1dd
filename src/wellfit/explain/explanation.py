"""All that is explained of a model: of a table or of images, in seconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from wellfit.config import Config, Seed
from wellfit.data.meta import Meta
from wellfit.data.store import Split
from wellfit.explain.columns import Feature, features_of
from wellfit.explain.contributions import Contributions, shapley_values
from wellfit.explain.copies import Predict
from wellfit.explain.dependence import Dependence, partial_dependence
from wellfit.explain.examples import confident_mistakes, largest_errors, usual_classes, usual_numbers
from wellfit.explain.importance import SCORES, Importance, permutation_importance
from wellfit.explain.occlusion import Occlusion, occlude
from wellfit.explain.related import Pair, related_columns
from wellfit.files import write_csv
from wellfit.metrics.scores import FloatArray, IntArray

PASSES = 1_000_000  # rows through the model, at most, for importance and for contributions each
PROBABILITIES = 20_000_000  # that come out of these passes, at most
FEWEST_ROWS, FEWEST_PERMUTATIONS = 100, 10  # however many columns there are
DEPENDENCE_ROWS, CURVES = 500, 20
MOST_CLASSES = 5  # whose probabilities are drawn against a column, the most frequent ones
MISTAKES, USUAL = 3, 3  # rows of a table whose contributions are shown
IMAGE_MISTAKES, USUAL_IMAGES = 8, 4


class ExplainConfig(Config):
    """The section ``explain``."""

    enabled: bool
    rows: int = Field(ge=FEWEST_ROWS, le=PASSES)
    repeats: int = Field(ge=1, le=1000)
    columns: int = Field(ge=0, le=100)
    permutations: int = Field(ge=FEWEST_PERMUTATIONS, le=100_000)
    seed: Seed


class Examples(NamedTuple):
    """Rows of the test split that are looked at one by one.

    Attributes:
        rows: (n,) their places in the split.
        mistakes: how many of them, the first ones, were predicted worst; the others are usual.
        outputs: (n,) the predicted class of each, whose probability is explained; zeros for numbers.
    """

    rows: IntArray
    mistakes: int
    outputs: IntArray


class TableExplanation(NamedTuple):
    """What predictions from a table depend on.

    Attributes:
        features: the columns.
        importance: of each of them.
        outputs: what is drawn against a column: places of the classes; 0 for numbers.
        dependence: on the most important columns.
        examples: rows.
        contributions: of the columns to their predictions.
        permutations: behind the contributions.
        related: columns that say much the same.
    """

    features: Sequence[Feature]
    importance: Importance
    outputs: Sequence[int]
    dependence: Sequence[Dependence]
    examples: Examples
    contributions: Contributions
    permutations: int
    related: Sequence[Pair]


class ImageExplanation(NamedTuple):
    """What predictions of images depend on.

    Attributes:
        examples: images.
        occlusion: of each.
    """

    examples: Examples
    occlusion: Occlusion


Explanation = TableExplanation | ImageExplanation


def explain(
    predict: Predict, train: Split, test: Split, predictions: FloatArray, meta: Meta, config: ExplainConfig
) -> Explanation:
    """Explains a model by what it predicts for altered rows; nothing else is asked of it.

    With very many columns or classes fewer rows and permutations are taken than the settings say, so that it stays a
    matter of seconds; what was taken stands in the result.

    Args:
        predict: the model.
        train: the training split, for what values are usual.
        test: the test split.
        predictions: for all of ``test``.
        meta: of the data.
        config: how much of it.
    """
    if meta.kind == "images":
        images = _examples(test, predictions, meta, IMAGE_MISTAKES, IMAGE_MISTAKES + USUAL_IMAGES)
        return ImageExplanation(images, occlude(predict, test.x[images.rows], images.outputs, meta.mean))
    features, seed = features_of(meta), config.seed
    all_passes = min(PASSES, PROBABILITIES // max(1, len(meta.class_names)))
    rows = min(config.rows, max(FEWEST_ROWS, all_passes // (len(features) * config.repeats)))
    sample = _rows(test, _drawn(test, rows, seed))
    importance = permutation_importance(predict, sample, meta.task, features, config.repeats, seed)

    text = {source.name for source in meta.sources if source.kind == "text"}  # its counts of words are not drawn
    ranked = [features[i] for i in importance.order if features[i].name not in text]
    places = [place for feature in ranked for place in feature.places][: config.columns]
    outputs = _drawn_outputs(meta)
    dependence = partial_dependence(predict, sample.x[:DEPENDENCE_ROWS], train.x, places, outputs, CURVES)

    examples = _examples(test, predictions, meta, MISTAKES, MISTAKES + USUAL)
    passes = 2 * max(1, len(features) - 1) * len(examples.rows)  # of a permutation
    permutations = min(config.permutations, max(FEWEST_PERMUTATIONS, all_passes // passes))
    background = train.x[_drawn(train, permutations, seed)]
    explained = np.asarray(test.x[examples.rows])
    contributions = shapley_values(predict, explained, examples.outputs, background, features, seed)
    related = related_columns(sample.x, features)
    return TableExplanation(
        features, importance, outputs, dependence, examples, contributions, len(background), related
    )


def _drawn(split: Split, size: int, seed: int) -> IntArray:
    """At most so many rows at random, in a random order; none of weight 0."""
    possible = np.arange(len(split.y)) if split.weights is None else np.flatnonzero(split.weights)
    return np.random.default_rng(seed).permutation(possible)[:size]


def _rows(split: Split, rows: IntArray) -> Split:
    weights = None if split.weights is None else split.weights[rows]
    return Split(split.x[rows], split.y[rows], split.ids[rows], weights)


def _drawn_outputs(meta: Meta) -> list[int]:
    """The number that is predicted, the second of two classes, or the most frequent of more, in their order."""
    if meta.task == "regression":
        return [0]
    if len(meta.class_names) == 2:
        return [1]
    return sorted(np.argsort(-np.array(meta.class_counts), kind="stable")[:MOST_CLASSES].tolist())


def _examples(test: Split, predictions: FloatArray, meta: Meta, mistakes: int, total: int) -> Examples:
    """So many of the worst predictions, or as many as there are, and usual ones up to the total."""
    y = np.asarray(test.y)
    if meta.task == "classification":
        outputs = predictions.argmax(axis=1)
        worst = confident_mistakes(y, outputs, predictions)[:mistakes]
        usual = usual_classes(y, outputs, predictions, total - len(worst))
    else:
        worst = largest_errors(y, predictions)[:mistakes]
        usual = np.setdiff1d(usual_numbers(predictions, total - len(worst)), worst)
        outputs = np.zeros(len(y), np.int64)
    rows = np.concatenate([worst, usual])
    return Examples(rows, len(worst), outputs[rows])


def write_tables(folder: Path, explanation: Explanation | None, test: Split, meta: Meta) -> None:
    """Writes ``importance.csv`` and ``contributions.csv``, without rows where there is nothing to say.

    ``importance.csv`` has the columns of a table, the most important one first: by how much each score becomes worse
    when the column is shuffled, the ends of its 95 % interval, and the standard deviation between the shufflings.
    ``contributions.csv`` has a line for each example and column.
    """
    importance, contributions = [], []
    if isinstance(explanation, TableExplanation):
        found = explanation.importance
        importance = [
            [found.names[i], *(float(values[i]) for score in found.scores.values() for values in score)]
            for i in found.order
        ]
        contributions = _contribution_lines(explanation, test, meta)
    ends = ("", "_low", "_high", "_spread")
    header = ["column", *(f"{name}{end}" for name in SCORES[meta.task] for end in ends)]
    write_csv(folder / "importance.csv", header, importance)
    header = ["id", "output", "prediction", "mean_prediction", "column", "value", "contribution", "standard_error"]
    write_csv(folder / "contributions.csv", header, contributions)


def _contribution_lines(explanation: TableExplanation, test: Split, meta: Meta) -> list[list[object]]:
    found, lines = explanation.contributions, []
    for i, (row, output) in enumerate(zip(explanation.examples.rows, explanation.examples.outputs, strict=True)):
        of_row = [
            test.ids[row].item(),
            meta.class_names[output] if meta.class_names else meta.target_name,
            float(found.predictions[i]),
            float(found.base[i]),
        ]
        for j, feature in enumerate(explanation.features):
            cell = feature.cell(test.x[row])
            lines.append([*of_row, feature.name, cell, float(found.values[i, j]), float(found.errors[i, j])])
    return lines
