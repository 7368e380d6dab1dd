"""The predict stage: new rows of a file, or images of a folder, to a CSV file of predictions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.readers.csv_shape import SEPARATORS, Wanted
from wellfit.data.readers.image_decoding import decode_images
from wellfit.data.readers.image_files import images_below, shown
from wellfit.data.readers.tables import PARQUET, open_table, tell
from wellfit.errors import RowsChangedError, WellfitError
from wellfit.files import is_stream, named_file, write_csv, write_json
from wellfit.serving.drift import Comparison, Counted
from wellfit.serving.folder import load_model_folder
from wellfit.serving.predictor import Predictions, Predictor
from wellfit.serving.rows import Reading, Summary, encode_table, listed
from wellfit.serving.table import rounded
from wellfit.training.runtime import choose_device

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

IMAGES_AT_ONCE = 1024
DIGITS = 6  # of a probability, as in reports/evaluate/predictions.csv
# What a spreadsheet takes for the begin of a formula, where no number follows.
FORMULA = re.compile(r"[=+\-@\t\r](?!\d*\.?\d+(?:[eE][+-]?\d+)?$)")


class Options(NamedTuple):
    """What is to be predicted.

    Attributes:
        input: a CSV or Parquet file, several (a folder, or a pattern), or a folder of images.
        output: the CSV file to make.
        model: the folder of the model.
        proba: whether the probability of each class is wanted.
        interval: whether the interval of each number is wanted, or the set of classes of each row.
        formulas: whether text may begin as a formula does; else an apostrophe stands before it.
        check: whether the rows are compared with the training rows.
        fail_on_drift: whether it is an error that a column, or the predictions, moved much.
        skips_bad_files: whether images that cannot be read have no line; else they are refused.
        separator: between two cells of a CSV file, one of ``SEPARATORS``; None: as in the training file.
        device: where the model computes: auto (cuda, else mps, else cpu), cpu, cuda or mps.
    """

    input: Path
    output: Path
    model: Path
    proba: bool
    interval: bool
    formulas: bool
    check: bool = False
    fail_on_drift: bool = False
    skips_bad_files: bool = False
    separator: str | None = None
    device: str = "auto"


class Part(NamedTuple):
    """Some of the rows.

    Attributes:
        ids: (n,) what they are called.
        rows: (n, ...) as the model takes them.
    """

    ids: NDArray[Any]
    rows: NDArray[Any]


def predict(options: Options) -> None:
    """Predicts all rows; the output appears as a whole, or not at all.

    Raises:
        WellfitError: the model or the input is missing or damaged, there are no rows, or what is asked for is not for
            this model.
        RowsChangedError: ``fail_on_drift`` is set, and rows changed; they are predicted all the same.
    """
    if options.check:  # a package that the page needs and that is not there is told before the work
        import wellfit.report.drift  # noqa: F401
    model = load_model_folder(options.model, choose_device(options.device, "--device"))
    _check(options, model)
    counted = Counted(model.profile) if options.check else None
    summary, n = Summary(counted), 0
    with named_file(options.output) as file:
        for part in _parts(model, options, summary):
            table = _table(part.ids, model.predictions(part.rows, summary), model, options)
            table.to_csv(file, header=n == 0, index=False, lineterminator="\n", encoding="utf-8")
            n += len(table)
        if not n:
            raise WellfitError(f"{options.input} has a header and no rows")
    notes = summary.sentences(model.meta)
    for sentence in notes:
        print(f"note: {sentence}")
    what = f"{'image' if model.meta.kind == 'images' else 'row'}{'s' if n > 1 else ''}"
    print(f"predicted {model.meta.target_name!r} of {n:,} {what} with {options.model}: {options.output}")
    if counted is not None:
        _compare(counted.compare(), model, options, notes)


def _compare(found: Comparison, model: Predictor, options: Options, notes: Sequence[str]) -> None:
    """Says what moved, and writes it as a page and as JSON beside the output."""
    from wellfit.report.drift import few_rows_in_words, moved_in_words, write_drift_page

    page, table = (options.output.with_suffix(f".check{end}") for end in (".html", ".json"))
    write_json(table, found.as_json())
    write_drift_page(page, model.meta, options.input.name, found, notes)
    if few := few_rows_in_words(found.rows):
        print(f"note: {few}")
    for sentence in found.sentences():
        print(f"note: {sentence}")
    print(f"{moved_in_words(found, model.meta)} from what the training rows had: {page}")
    much = [found.called(each) for each in found.moved if each.moved == "much"]
    if options.fail_on_drift and much:
        raise RowsChangedError(
            f"--fail-on-drift: {listed(much)} moved much: see {page}; predictions are in {options.output}"
        )


def _check(options: Options, model: Predictor) -> None:
    if options.output.resolve() == options.input.resolve():
        raise WellfitError(f"--output must be another file than --input, got {options.output}")
    if model.meta.kind == "table" and options.input.resolve() in options.output.resolve().parents:
        raise WellfitError(f"--output must be outside of the folder --input, got {options.output}")
    if options.check and is_stream(options.output):
        raise WellfitError(f"--check writes files beside --output, which must be a file, got {options.output}")
    if options.output.suffix.casefold() in PARQUET:
        raise WellfitError(f"--output is a CSV file, got {options.output}")
    if options.proba and model.task == "regression":
        raise WellfitError(f"--proba is for classes, and {options.model} predicts numbers; --interval has intervals")
    if options.interval and model.decision.coverage is None:
        raise WellfitError(
            f"--interval needs a model with intervals: set evaluate.coverage (params.yaml) and run `dvc repro`; "
            f"{options.model} was made with null"
        )


def _parts(model: Predictor, options: Options, summary: Summary) -> Iterator[Part]:
    path = options.input
    if model.meta.kind == "images":
        if not path.is_dir():
            raise WellfitError(f"{options.model} takes images: --input must be a folder of them, got {path}")
        yield from _image_parts(model, options, summary)
        return
    assert model.reading is not None
    separator = SEPARATORS[options.separator] if options.separator else model.reading.separator
    wanted = Wanted(separator, model.reading.encoding, "--input", "--separator", "")
    files = open_table(path, _kind(path), wanted)
    names, seen = files[0].names, 0
    if model.reading.id is not None and model.reading.id not in names:
        print(f"note: column {model.reading.id!r} is not there: rows are counted from 0")
    known = {model.reading.id, *(source.name for source in model.meta.inputs)}
    for note in tell(path, files):
        print(f"note: {note}")
    for file in files:
        labels = [name for name in (*file.unnamed, *file.index_levels) if name not in known]
        row = file.first_row
        for table in file.parts:
            if len(table):
                cells = table.drop_columns(labels)
                rows = encode_table(model.meta, model.reading, cells, file.path, row, summary)
                yield Part(_ids(table, model.reading, seen), rows)
            row, seen = row + len(table), seen + len(table)


def _kind(path: Path) -> str:
    """Whether a file, a pattern or a folder is of CSV or Parquet, by the names."""
    names = [each.name for each in path.iterdir()] if path.is_dir() else [path.name]
    return "parquet" if any(name.casefold().endswith(PARQUET) for name in names) else "csv"


def _image_parts(model: Predictor, options: Options, summary: Summary) -> Iterator[Part]:
    """The images that can be read; the others are told all at once, when none is left."""
    folder = options.input
    files, others = images_below(folder)
    bad: list[tuple[str, str]] = []
    for start in range(0, len(files), IMAGES_AT_ONCE):
        part = files[start : start + IMAGES_AT_ONCE]
        names = np.array([shown(name) for name in part], object)
        images, faults = decode_images([folder / name for name in part], model.meta.input_shape)
        bad += [(name, fault) for name, fault in zip(names, faults, strict=True) if fault]
        if not bad or options.skips_bad_files:
            good = np.array([fault is None for fault in faults])
            if good.any():
                yield Part(names[good], model.encode(images[good], summary))
    if others:
        print(f"note: {len(others)} files are not images and are passed over, the first is {shown(others[0])}")
    if bad:
        _tell_bad_files(bad, len(files), options)


def _tell_bad_files(bad: Sequence[tuple[str, str]], n_files: int, options: Options) -> None:
    """Lists what cannot be read in a file beside the output, if there can be one, and says so."""
    (name, fault), *rest = bad
    said = f"{options.input / name} {fault}"
    if rest:
        said += f"; {len(rest)} more of {n_files} images cannot be read"
        if not is_stream(options.output):
            path = options.output.with_suffix(".bad_files.csv")
            write_csv(path, ["file", "fault"], bad)
            said += f", all are listed in {path}"
    if not options.skips_bad_files:
        raise WellfitError(f"{said} (--bad-files skip predicts the others)")
    if len(bad) == n_files:
        raise WellfitError(f"{said}: there is nothing to predict")
    print(f"note: {said}; they have no line in {options.output}")


def _ids(table: pa.Table, reading: Reading, seen: int) -> NDArray[Any]:
    """What ``data.id`` calls the rows, or their numbers from 0."""
    if reading.id is None or reading.id not in table.column_names:
        return np.arange(seen, seen + len(table))
    return np.array(table.column(reading.id).cast("string").to_pylist(), object)


def _table(ids: NDArray[Any], found: Predictions, model: Predictor, options: Options) -> pd.DataFrame:
    """Lines of the output: ``id``, then what `Predictor.as_lines` has."""
    if found.probabilities is not None:
        found = found._replace(probabilities=found.probabilities.round(DIGITS))
    table = model.as_lines(found, proba=options.proba, interval=options.interval)
    for name in ("predicted", "low", "high"):
        if name in table and table[name].dtype.kind == "f":
            table[name] = rounded(table[name])
    table.insert(0, "id", ids)
    if options.formulas:
        return table
    texts = [name for name in table.columns if table[name].dtype.kind not in "iuf"]
    return table.assign(**{name: table[name].map(_harmless) for name in texts})


def _harmless(text: Any) -> Any:
    return f"'{text}" if isinstance(text, str) and FORMULA.match(text) else text
