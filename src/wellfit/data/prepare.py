"""Raw data become three splits, and statistics of the first."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.catalog import CATALOG
from wellfit.data.config import DataConfig
from wellfit.data.publish import replacing
from wellfit.data.readers import RawData, read_raw
from wellfit.data.split import Assignment, assign_rows
from wellfit.data.store import Meta, Split, SplitName, save_meta, save_split

IMAGES_AT_ONCE = 4096  # bounds the memory of the pixel counts


class Statistics(NamedTuple):
    """Population mean and standard deviation, one per feature or channel; 1.0 in place of a deviation of zero."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def prepare(data: DataConfig, raw: Path, out: Path) -> Meta:
    """Makes ``out/<data.name>/`` from ``raw/<data.name>/``; a failure leaves what was there before.

    Args:
        data: which data set, and how to split it.
        raw: the folder of all raw data, as `wellfit.data.fetch.fetch` writes it.
        out: the folder of all processed data.

    Returns:
        What ``meta.json`` says.

    Raises:
        WellfitError: the raw data are missing, damaged or not finite, or cannot be split as asked.
    """
    source = read_raw(data.name, raw / data.name)
    assignment = assign_rows(source, data)
    splits = {name: Split(source.x[rows], source.y[rows], rows) for name, rows in assignment.rows.items()}
    with replacing(out / data.name) as folder:
        manifest: dict[str, str] = {}
        for name, split in splits.items():
            manifest |= save_split(folder, name, split)
        meta = _describe(data.name, source, splits, _warnings(assignment), manifest)
        save_meta(folder, meta)
    return meta


def _describe(
    name: str, source: RawData, splits: dict[SplitName, Split], warnings: tuple[str, ...], manifest: dict[str, str]
) -> Meta:
    entry, train = CATALOG[name], splits["train"]
    inputs = channel_statistics(train.x) if entry.kind == "images" else column_statistics(train.x)
    target = column_statistics(train.y[:, np.newaxis]) if entry.task == "regression" else None
    return Meta(
        name=name,
        kind=entry.kind,
        task=entry.task,
        feature_names=source.feature_names,
        class_names=source.class_names,
        target_name=source.target_name,
        input_shape=source.x.shape[1:],
        split_sizes={split: len(rows.ids) for split, rows in splits.items()},
        mean=inputs.mean,
        std=inputs.std,
        target_mean=target.mean[0] if target else None,
        target_std=target.std[0] if target else None,
        class_counts=() if target else tuple(np.bincount(train.y, minlength=len(source.class_names)).tolist()),
        warnings=warnings,
        manifest=manifest,
    )


def column_statistics(table: NDArray[np.float32]) -> Statistics:
    """Statistics of each column of a table (n, features), computed in float64."""
    mean = table.mean(axis=0, dtype=np.float64)
    std = table.std(axis=0, dtype=np.float64)  # exactly 0 for a constant: float64 adds equal float32 without rounding
    return Statistics(tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()))


def channel_statistics(images: NDArray[np.uint8]) -> Statistics:
    """Statistics of each channel of images (n, channels, height, width), in pixel units, exact up to the last division.

    They follow from how often each of the 256 values occurs, which needs no copy of the images as floats.
    """
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for start in range(0, len(images), IMAGES_AT_ONCE):
        part = images[start : start + IMAGES_AT_ONCE]
        for channel in range(len(counts)):
            counts[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
    values, n_pixels = np.arange(256), counts.sum(axis=1)
    mean = counts @ values / n_pixels
    variance = (counts * (values - mean[:, np.newaxis]) ** 2).sum(axis=1) / n_pixels
    std = np.where(variance > 0, np.sqrt(variance), 1.0)
    return Statistics(tuple(mean.tolist()), tuple(std.tolist()))


def _warnings(assignment: Assignment) -> tuple[str, ...]:
    sentences = []
    if assignment.left_out:
        sentences.append(
            f"{assignment.left_out} rows of the publisher's train split equal a row of its test split and are left out"
        )
    if assignment.repeated:
        sentences.append(
            f"{assignment.repeated} rows equal an earlier row; each stands in the same split as the first of its kind"
        )
    return tuple(sentences)
