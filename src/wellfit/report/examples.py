"""Rows of the data set, as images or as raw values: samples, and what the model got most wrong."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Meta
from wellfit.data.store import Split
from wellfit.explain.columns import places_of
from wellfit.explain.examples import confident_mistakes, largest_errors
from wellfit.metrics.scores import FloatArray
from wellfit.metrics.threshold import DEFAULT_THRESHOLD, predicted_classes
from wellfit.report.content import Picture, Table, cell, number, percent, png, raw

IMAGES, ROWS = 24, 10  # the most that are shown
COLUMNS = 40  # of a wide table


class Mistakes(NamedTuple):
    """What the model got most wrong: pictures for images, else a table; or neither, with the reason in ``says``."""

    says: str
    pictures: Sequence[Picture] = ()
    table: Table | None = None


def samples(split: Split, meta: Meta) -> tuple[Sequence[Picture], Table | None]:
    """Some rows of a split, sorted by class: pictures for images, else a table of raw values."""
    rows = sample_rows(split.y, IMAGES if meta.kind == "images" else ROWS)
    if meta.task == "classification":
        rows = rows[np.argsort(split.y[rows], kind="stable")]
    if meta.kind == "images":
        targets = [cell(_target(meta, split.y[row])) for row in rows]
        alts = [f"Training image of {meta.target_name} {target}" for target in targets]
        return _pictures(split, rows, alts, targets), None
    kept = range(min(COLUMNS, len(meta.columns)))
    cells = [[str(split.ids[row]), _target(meta, split.y[row]), *_raw(meta, split.x[row], kept)] for row in rows]
    header = ["row", meta.target_name, *(meta.columns[i].name for i in kept)]
    return (), Table(f"Training rows, raw values{_left_out(meta)}", header, cells)


def wrong_classes(
    split: Split, probabilities: FloatArray, meta: Meta, threshold: float = DEFAULT_THRESHOLD
) -> Mistakes:
    """The rows that were predicted wrong with the highest probability.

    Args:
        split: test.
        probabilities: (n, C).
        meta: of the data.
        threshold: of `wellfit.metrics.threshold.predicted_classes`.
    """
    y, predicted = np.asarray(split.y), predicted_classes(probabilities, threshold)
    confidence = probabilities[np.arange(len(y)), predicted]
    wrong = confident_mistakes(y, predicted, probabilities)
    if not len(wrong):
        return Mistakes("Not one test row was predicted wrong.")
    rows = wrong[: IMAGES if meta.kind == "images" else ROWS]
    says = f"{len(wrong):,} of {len(y):,} test rows were predicted wrong"
    says += f"; the {len(rows)} most confident mistakes:" if len(rows) < len(wrong) else ", the most confident first:"
    names = [(meta.class_names[y[row]], meta.class_names[predicted[row]], percent(confidence[row])) for row in rows]
    if meta.kind == "images":
        alts = [
            f"Test image of {meta.target_name} {true}, taken for {guess} with {chance} confidence"
            for true, guess, chance in names
        ]
        captions = [f"{true} taken for {guess}, {chance}" for true, guess, chance in names]
        return Mistakes(says, _pictures(split, rows, alts, captions))
    columns = _most_unusual(split, rows, meta)
    cells = [
        [str(split.ids[row]), *name, *_raw(meta, split.x[row], columns)] for row, name in zip(rows, names, strict=True)
    ]
    header = ["row", "actual", "predicted", "confidence", *(meta.columns[i].name for i in columns)]
    return Mistakes(says, (), Table(f"The most confident mistakes, raw values{_left_out(meta)}", header, cells))


def wrong_numbers(split: Split, prediction: FloatArray, meta: Meta) -> Mistakes:
    """The rows with the largest errors.

    Args:
        split: test.
        prediction: (n,) in the target's unit.
        meta: of the data.
    """
    y = np.asarray(split.y, np.float64)
    error = prediction - y
    order = largest_errors(y, prediction)
    says = f"The largest of {len(y):,} errors (predicted minus actual):"
    if meta.kind == "images":
        rows = order[:IMAGES]
        captions = [f"{number(y[row])} predicted as {number(prediction[row])}" for row in rows]
        return Mistakes(says, _pictures(split, rows, [f"Test image, {caption}" for caption in captions], captions))
    rows = order[:ROWS]
    columns = _most_unusual(split, rows, meta)
    cells = [[str(split.ids[i]), y[i], prediction[i], error[i], *_raw(meta, split.x[i], columns)] for i in rows]
    header = ["row", "actual", "predicted", "error", *(meta.columns[i].name for i in columns)]
    return Mistakes(says, (), Table(f"The largest errors, raw values{_left_out(meta)}", header, cells))


def sample_rows(y: NDArray[Any], most: int) -> NDArray[np.int64]:
    """At most so many rows: the first of each class, then the second of each, and so on; of numbers the first rows."""
    if y.dtype.kind != "i":
        return np.arange(min(most, len(y)))
    turns = np.empty(len(y), np.int64)
    for label in np.unique(y):
        turns[y == label] = np.arange(np.sum(y == label))
    return np.lexsort((y, turns))[:most]


def _most_unusual(split: Split, rows: NDArray[np.int64], meta: Meta) -> Sequence[int]:
    """The columns to show of some rows: all, or those in which the rows are farthest from the training rows' mean."""
    if len(meta.columns) <= COLUMNS:
        return range(len(meta.columns))
    numbers = sum(column.fill is not None for column in meta.columns)
    distance = np.zeros(len(meta.columns))
    standardized = (np.asarray(split.x[rows])[:, :numbers] - meta.mean[:numbers]) / meta.std[:numbers]
    distance[:numbers] = np.abs(standardized).mean(axis=0)
    return sorted(np.argsort(-distance, kind="stable")[:COLUMNS].tolist())


def _left_out(meta: Meta) -> str:
    return f" ({COLUMNS} of {len(meta.columns)} columns)" if len(meta.columns) > COLUMNS else ""


def _raw(meta: Meta, row: NDArray[np.float32], columns: Sequence[int]) -> list[Any]:
    """The cells of a row as the raw data had them: numbers, texts, or None where one was missing."""
    places = places_of(meta)
    return [raw(places[i].cell(row)) for i in columns]


def _target(meta: Meta, value: Any) -> str | float:
    return meta.class_names[int(value)] if meta.class_names else float(value)


def _pictures(split: Split, rows: NDArray[np.int64], alts: list[str], captions: list[str]) -> list[Picture]:
    images = np.asarray(split.x[rows], np.float32)
    # Of digits the brightest pixel is 16; what is white in what is shown is drawn white.
    bytes_of = np.rint(images * (255 / max(1.0, float(images.max(initial=0))))).astype(np.uint8)
    return [Picture(png(image), alt, words) for image, alt, words in zip(bytes_of, alts, captions, strict=True)]
