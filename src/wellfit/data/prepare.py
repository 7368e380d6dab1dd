"""Makes three splits of raw data, with the statistics of the training split."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.encode import encode, encoded_width, fit_columns
from wellfit.data.frame import chosen_rows, frame_blocks
from wellfit.data.leakage import find_leaks, leak_warnings
from wellfit.data.meta import Column, Meta, Source, SplitName
from wellfit.data.outliers import name_outliers
from wellfit.data.raw import RawData, row_in_file, verify
from wellfit.data.readers.image_checks import BAD_FILES
from wellfit.data.scratch import each_column, empty_array, forget, memory_budget, row_blocks
from wellfit.data.settings import DataConfig, own_settings
from wellfit.data.sources import N_HASHED, expand_all, fit_sources
from wellfit.data.split import assign_rows
from wellfit.data.store import Split, load_array, save_meta, save_split, save_unlabelled
from wellfit.data.target import check_targets, fit_transform
from wellfit.errors import WellfitError
from wellfit.files import replacing, write_csv
from wellfit.manifest import file_sha256

QUANTILES = 257  # so that 2, 4, ..., 256 bins of equal shares end at some of them
LONGEST_NAME = 40  # characters shown
LEAST_SCALE = 0.1  # of a flag: where a gap is rarer than 1 in 100, its flag would become as large as 10, 100 or 1000


class Statistics(NamedTuple):
    """Population mean and standard deviation, one per feature or channel; 1.0 in place of a deviation of zero."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def prepare(data: DataConfig, raw: Path, out: Path) -> Meta:
    """Makes ``out/<data.name>/`` from ``raw/<data.name>/``; a failure leaves what was there before.

    What takes more than ``data.memory`` is kept on disk on the way. The result is the same, whatever that is.

    Args:
        data: which data set, and how to split it.
        raw: the folder of all raw data, as `wellfit.data.fetch.fetch` writes it.
        out: the folder of all processed data.

    Returns:
        What ``meta.json`` says.

    Raises:
        WellfitError: the raw data are missing, damaged or not finite, or cannot be split as asked.
    """
    source, kind = read_raw(data, raw / data.name), data.entry.kind
    assignment = assign_rows(source, data)
    train = assignment.rows["train"]
    x, sources, columns, warnings = _as_arrays(source, assignment.rows, data)
    left_out = source.left_out + tuple(c.name for c in source.sources if c.name not in {s.name for s in sources})
    source = source._replace(x=x)  # frees the memory of the table
    leaks = find_leaks(x, source, train, columns, sources, data.seed) if sources else ()
    y = source.y[train]
    target = transform = None
    note = ""
    if not source.class_names:
        wanted = data.target_transform
        check_targets(wanted, source.y, lambda row: f"data.name {data.name} row {row}", source.target_name)
        transform, note = fit_transform(wanted, y, source.y.min())
        target = column_statistics((y if transform is None else transform.forward(y))[:, np.newaxis])
    with replacing(out / data.name) as folder:
        manifest: dict[str, str] = {}
        for name, rows in assignment.rows.items():
            weights = None if source.weights is None else source.weights[rows]
            if weights is not None and not weights.any():
                raise WellfitError(f"data.weight {data.weight}: all {len(rows)} rows of the {name} split weigh 0")
            folds = assignment.folds if name == "train" else None
            split = Split(x, source.y[rows], rows if source.ids is None else source.ids[rows], weights, folds)
            manifest |= save_split(folder, name, split, rows)
        inputs, quantiles = _describe_inputs(load_array(folder / "x_train.npy"), columns)
        if source.unlabelled is not None:
            manifest |= save_unlabelled(folder, source.unlabelled.x, source.unlabelled.ids)
        if source.bad_files:
            write_csv(folder / BAD_FILES, ["file", "fault"], source.bad_files)
            manifest[BAD_FILES] = file_sha256(folder / BAD_FILES)
        meta = Meta(
            name=data.name,
            kind=kind,
            task="regression" if target else "classification",
            columns=columns,
            class_names=source.class_names,
            target_name=source.target_name,
            input_shape=x.shape[1:],
            split_sizes={name: len(rows) for name, rows in assignment.rows.items()},
            mean=inputs.mean,
            std=inputs.std,
            quantiles=quantiles,
            target_mean=target.mean[0] if target else None,
            target_std=target.std[0] if target else None,
            target_transform=transform,
            target_note=note,
            class_counts=() if target else tuple(np.bincount(y, minlength=len(source.class_names)).tolist()),
            warnings=source.warnings + assignment.warnings + warnings + leak_warnings(leaks, source.target_name),
            leakage=leaks,
            settings=own_settings(data),
            sources=sources,
            left_out=left_out,
            manifest=manifest,
        )
        save_meta(folder, meta)
    return meta


def read_raw(data: DataConfig, folder: Path) -> RawData:
    """Reads a data set that `wellfit.data.fetch.fetch` has fetched, or the user's own.

    Args:
        data: the section ``data``.
        folder: of the data set's raw files, such as ``data/raw/digits``.

    Raises:
        WellfitError: a file is missing, damaged, or holds a value that is not a finite number.
    """
    for file in data.entry.files:
        verify(folder / file.name, file.sha256)
    raw = data.entry.read(data.entry, folder, data)
    if not isinstance(raw.x, np.ndarray):
        import pyarrow as pa

        pa.default_memory_pool().release_unused()  # of the text of a table, which takes more than its numbers
    return raw


def _as_arrays(
    source: RawData, rows: Mapping[SplitName, NDArray[np.int64]], data: DataConfig
) -> tuple[NDArray[Any], tuple[Source, ...], tuple[Column, ...], tuple[str, ...]]:
    """Images as they are; of a table an array, what it was made by, as learned from the training rows, and warnings."""
    import pandas as pd

    if isinstance(source.x, np.ndarray):
        return source.x, (), (), ()

    def row(index: int) -> str:
        return row_in_file(source.files, index) if source.files else f"data.name {data.name} row {index}"

    table, sources, train = source.x, source.sources, rows["train"]
    warnings: tuple[str, ...] = ()
    if sources:
        sources, warnings = fit_sources(sources, chosen_rows(table, train), row)
        table = expand_all(sources, table)
    columns = fit_columns(chosen_rows(table, train), data.max_categories)
    x = empty_array((len(table), encoded_width(columns)), np.float32, memory_budget(data.memory))
    start = 0
    for block in frame_blocks(table):
        encode(columns, block, x[start : start + len(block)])
        start += len(block)
        forget(x)
    target = pd.Series(source.y, name=source.target_name) if sources and not source.class_names else None
    far = name_outliers(columns, x, source.x, sources, rows, row, target)
    return x, sources, columns, (*warnings, *far)


def _describe_inputs(x: NDArray[Any], columns: Sequence[Column]) -> tuple[Statistics, tuple[tuple[float, ...], ...]]:
    """Statistics of the training rows of a table or of images, which have no columns; and quantiles of a table.

    Flags of missing numbers are divided by `LEAST_SCALE` at least.
    """
    if not columns:
        return channel_statistics(x), ()
    n_others = sum(column.fill is None for column in columns)
    n_numbers = len(columns) - n_others
    mean, std = column_statistics(x[:, : x.shape[1] - n_others])
    flags = (max(LEAST_SCALE, each) for each in std[n_numbers:])
    return Statistics(mean, (*std[:n_numbers], *flags)), column_quantiles(x[:, :n_numbers])


def describe(meta: Meta) -> list[str]:
    """How each column of a table was read, one line each in the order of the file, and the target."""
    columns = {column.name: column for column in meta.columns}
    lines = [f"  {_short(source.name)}: {_in_words(source, columns)}" for source in meta.inputs]
    what = f"{len(meta.class_names)} classes, {_listed(meta.class_names)}" if meta.class_names else "numbers"
    note = f"; data.target_transform {meta.target_note}" if meta.target_note else ""
    return [*lines, f"  to be predicted: {_short(meta.target_name)}: {what}{note}"]


def _in_words(source: Source, columns: Mapping[str, Column]) -> str:
    note = f" ({source.note})" if source.note else ""
    if source.kind == "dates":
        return f"dates{note}, as {' or '.join(source.formats)}; inputs: {', '.join(source.parts)}"
    if source.kind == "text":
        return f"text; inputs: counts of words in {N_HASHED} columns"
    column = columns[source.name]
    if column.fill is None:
        return f"{len(column.categories)} categories{note}, {_listed(column.categories)}"
    gaps = ", the missing ones flagged" if column.flags_missing else ""
    return f"numbers{note}, median {column.fill:.6g}{gaps}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_short, names[:5])) + (", ..." if len(names) > 5 else "")


def _short(name: str) -> str:
    """A name for the terminal: short, and without control characters."""
    shown = name if name.isprintable() else repr(name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 3]}..."


def column_statistics(table: NDArray[np.floating]) -> Statistics:
    """Statistics of each column of a table (n, features), computed in float64."""
    mean = _column_sums(row_blocks(table)) / len(table)
    variance = _column_sums((block - mean) ** 2 for block in row_blocks(table)) / len(table)
    std = np.sqrt(variance)  # exactly 0 for a constant: float64 adds equal float32 without rounding
    return Statistics(tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()))


def _column_sums(blocks: Iterable[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Sums over the rows of all blocks: of several columns row by row, so that they are those of the blocks as one."""
    total: Any = None
    for block in blocks:
        total = np.add.reduce(block if total is None else np.vstack([total, block]), axis=0, dtype=np.float64)
    return np.asarray(total)


def column_quantiles(table: NDArray[np.float32]) -> tuple[tuple[float, ...], ...]:
    """Quantiles of each column of a table (n, features) at equal steps: values that occur, the nearest ones.

    A float32 has as few digits as tell it from others.
    """
    steps = np.linspace(0, 1, QUANTILES)
    places = np.quantile(np.arange(len(table)), steps, method="nearest")
    return tuple(tuple(float(str(value)) for value in np.sort(column)[places]) for column in each_column(table))


def channel_statistics(images: NDArray[np.uint8]) -> Statistics:
    """Statistics of each channel of images (n, channels, height, width), in pixel units, exact up to the last division.

    They follow from how often each of the 256 values occurs, which needs no copy of the images as floats.
    """
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for part in row_blocks(images):
        for channel in range(len(counts)):
            counts[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
    values, n_pixels = np.arange(256), counts.sum(axis=1)
    mean = counts @ values / n_pixels
    variance = (counts * (values - mean[:, np.newaxis]) ** 2).sum(axis=1) / n_pixels
    std = np.where(variance > 0, np.sqrt(variance), 1.0)
    return Statistics(tuple(mean.tolist()), tuple(std.tolist()))
