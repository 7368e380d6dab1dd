"""Images whose classes stand in a CSV file: which of its columns names them, and which has their classes."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import SPLIT_NAMES
from wellfit.data.readers.csv_files import read_csv
from wellfit.data.readers.csv_shape import SEPARATORS, Wanted
from wellfit.data.readers.image_files import ImageFiles, check_folder, differing_in_case, files_below, is_image, shown
from wellfit.data.readers.split_folders import Role, role_named
from wellfit.data.readers.tables import read_table
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    from wellfit.data.settings import DataConfig

Cells = list[str]  # of a column, empty where missing
TEXT_TABLES = (".csv", ".tsv")
LABEL_NAMES = ("label", "labels", "class", "classes", "class_name", "classname", "class_id", "classid", "category")
ROWS_TRIED = 1000  # of a column, to see whether it names images
NAMED = 0.5  # share of the rows that must name an image


def list_labelled(folder: Path, data: DataConfig) -> ImageFiles:
    """Finds the images in a folder, at any depth, and their classes in ``data.labels``, without opening an image.

    The column that names images is found by its cells: paths or names of files, with or without their extension;
    ``data.id`` overrules it. The column of classes is ``data.target``, or the only one that can be meant. Folders that
    are called as splits give the splits. Images without a class are those to be predicted.

    Args:
        folder: the value of ``data.path``.
        data: the section ``data``; ``labels`` is set.

    Raises:
        WellfitError: no such file or column, more than one that can be meant, names of no or of two images, two classes
            of one image, or fewer than two classes.
    """
    check_folder(folder)
    path = find_label_file(folder, str(data.labels))
    files = [file for file in files_below(folder, "") if is_image(file)]
    if not files:
        raise WellfitError(f"{folder} holds no images")
    index = _Index(files, os.path.relpath(path.parent, folder))
    columns, first_row, notes = _read(path, data, index)
    names = _columns_of_names(path, columns, index, data.id)
    others = [name for name in columns if name not in (*names, data.target)]
    split = next((name for name in others if _are_splits(columns[name])), None)
    splits = columns.pop(split) if split else []
    target, classes = _column_of_classes(path, columns, names, data.target)
    labels, warnings = _labels(path, columns[names[0]], classes, index, first_row)
    class_names = _sorted_classes({*labels.values()})
    if len(class_names) > max(2, len(labels) // 2):
        raise WellfitError(
            f"{path} column {target!r} has {len(class_names)} different values for {len(labels)} images, too many for "
            "classes, and numbers are not predicted of images; set data.target to another column"
        )
    if len(class_names) < 2:
        raise WellfitError(f"{path} column {target!r} has one class only, and a classification needs two or more")
    warnings = [*notes, *warnings, *differing_in_case(class_names)]
    labelled = [file for file in files if file in labels]
    unlabelled = [file for file in files if file not in labels]
    if unlabelled:
        warnings.append(
            f"images without a class in {path.name}: {len(unlabelled)}, the first is {shown(unlabelled[0])}; they are "
            "predicted, not scored"
        )
    if not path.resolve().is_relative_to(folder.resolve()):
        warnings.append(
            f"{path} lies outside of data.path, where DVC does not see that it changes: then run `dvc repro --force`"
        )
    roles = [_role(file) for file in labelled]
    if split:
        warnings.append(f"column {split!r} of {path.name} says which split an image is in")
        rows = zip(columns[names[0]], splits, strict=True)
        role_of = {file: role_named(cell) for name, cell in rows for file in index.find(name)}
        roles = [role_of[file] for file in labelled]
    codes = {name: code for code, name in enumerate(class_names)}
    return ImageFiles(
        files=tuple(labelled),
        labels=np.array([codes[labels[file]] for file in labelled], np.int64),
        class_names=class_names,
        splits=_splits(roles),
        warnings=tuple(warnings),
        unlabelled=tuple(unlabelled),
        target_name=target,
    )


def find_label_file(folder: Path, name: str) -> Path:
    """The file that ``data.labels`` names, from ``data.path``, beside it, or from the project's root.

    Raises:
        WellfitError: it is in none of these places.
    """
    places = [folder / name, folder.parent / name, Path(name)]
    for path in places:
        if path.is_file():
            return path
    raise WellfitError(
        f"data.labels {name} is neither in {folder}, nor beside it, nor at the project's root (params.yaml)"
    )


def label_files(folder: Path, files: Sequence[str]) -> list[str]:
    """CSV files near the top of a folder that name at least half of its images, the one that names most first.

    Args:
        folder: that the files are relative to.
        files: images and others.
    """
    images = [file for file in files if is_image(file) and _role(file) not in ("test", "unlabelled")]
    tables = [file for file in files if file.lower().endswith(TEXT_TABLES) and file.count("/") < 2]
    if not tables:
        return []
    index, named = _Index(images, ""), {}
    for file in tables:
        with (folder / file).open(encoding="utf-8-sig", errors="replace") as lines:
            rows = (re.split("[,;\t]", line.strip().replace('"', "")) for line in lines)
            named[file] = len({found for row in rows if len(row) > 1 for cell in row for found in index.find(cell)})
    return [file for file in sorted(named, key=lambda file: -named[file]) if named[file] >= NAMED * len(images)]


class _Labels(NamedTuple):
    """The columns of the file, by name, the number of its first row, and what was guessed of it."""

    columns: dict[str, Cells]
    first_row: int
    notes: tuple[str, ...]


class _Index:
    """The images that a name in a table may stand for.

    Args:
        files: paths of the images.
        around: the folder of the table, from where they are relative to.
    """

    def __init__(self, files: Sequence[str], around: str) -> None:
        self._around = f"{around}/"
        self.example = files[0] if files else ""
        self._by_end: defaultdict[str, list[str]] = defaultdict(list)
        for file in files:
            for end in _ends(file):
                self._by_end[end].append(file)
                self._by_end[_stem(end)].append(file)

    def find(self, cell: str) -> list[str]:
        """The images that a cell names: by a path, or by the end of one; of several those beside the table are meant.

        Of equal names in a train and a test folder, the one in train has the class.
        """
        found = next((found for end in _ends(cell.replace("\\", "/")) if (found := self._at(end))), [])
        for is_meant in (lambda file: file.startswith(self._around), lambda file: _role(file) in (None, "train")):
            if len(found) > 1:
                found = [file for file in found if is_meant(file)] or found
        return found

    def _at(self, end: str) -> list[str]:
        return self._by_end.get(end) or (self._by_end.get(_stem(end), []) if is_image(end) else [])


def _ends(path: str) -> list[str]:
    """A path, then without its first folder, and so on; accents as one character, as macOS does not have them."""
    parts = unicodedata.normalize("NFC", path).removeprefix("./").split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _stem(path: str) -> str:
    return path.rpartition(".")[0]


def _read(path: Path, data: DataConfig, index: _Index) -> _Labels:
    """Reads the file; columns of one whose first row names an image already are counted."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        line = next(lines, "").strip()
    separator = max(SEPARATORS.values(), key=line.count)
    first = line.replace('"', "").split(separator)
    notes: tuple[str, ...] = ()
    if any(is_image(cell) and index.find(cell) for cell in first):
        table, first_row = read_csv(path, separator, [f"column {place}" for place, _ in enumerate(first, start=1)]), 1
    else:
        read = read_table(path, "csv", Wanted(SEPARATORS[data.separator], data.encoding, "data.labels"))
        table, first_row, notes = read.table, read.files[0].first_row, read.notes
    missing = {*data.missing, ""}
    columns = {
        name: ["" if cell is None or cell in missing else cell for cell in table.column(name).to_pylist()]
        for name in table.column_names
    }
    return _Labels(columns, first_row, notes)


def _columns_of_names(path: Path, columns: Mapping[str, Cells], index: _Index, named: str | None) -> list[str]:
    """The column that names the images, and those that name the same ones."""
    if named is not None:
        return [_existing(path, columns, "data.id", named)]
    shares = {name: _share_of_names(cells, index) for name, cells in columns.items()}
    found = [name for name, share in shares.items() if share == max(shares.values())]
    # A column that counts the rows from 0 may name 0.png by chance.
    first, *others = [name for name in found if any(map(is_image, columns[name]))] or found
    if shares[first] < NAMED:
        example = next(filter(None, columns[first]), "")
        raise WellfitError(
            f"{path}: no column names the images, which are called as {shown(index.example)}; column {first!r} has "
            f"{example!r}; data.id may name another column"
        )
    for other in others:
        if any(index.find(one) != index.find(two) for one, two in zip(columns[first], columns[other], strict=True)):
            raise WellfitError(f"{path}: columns {first!r} and {other!r} both name images; set data.id to one")
    return [first, *others]


def _share_of_names(cells: Cells, index: _Index) -> float:
    """How many images a row names: few where numbers of classes happen to be names of images."""
    tried = [cell for cell in cells[:: max(1, len(cells) // ROWS_TRIED)] if cell]
    return len({file for cell in tried for file in index.find(cell)[:1]}) / len(tried) if tried else 0.0


def _column_of_classes(
    path: Path, columns: Mapping[str, Cells], names: Sequence[str], named: str | None
) -> tuple[str, Cells]:
    """What the classes are called, and the class of each row."""
    if named is not None:
        return named, columns[_existing(path, columns, "data.target", named)]
    others = {name: cells for name, cells in columns.items() if name not in names}
    if _are_indicators(others):
        rows = zip(*others.values(), strict=True)
        return "class", [next(name for name, cell in zip(others, row, strict=True) if float(cell)) for row in rows]
    candidates = {name: cells for name, cells in others.items() if 1 < len({*cells} - {""}) <= max(2, len(cells) // 2)}
    called = {name: cells for name, cells in candidates.items() if name.casefold() in LABEL_NAMES}
    found = _distinct(called or candidates) or _distinct(others)
    if len(found) != 1:
        raise WellfitError(
            f"{path}: set data.target to the column that has the classes"
            + (f", one of {', '.join(map(repr, found))}" if found else f", as only {names[0]!r} is there")
        )
    return found[0], columns[found[0]]


def _are_indicators(columns: Mapping[str, Cells]) -> bool:
    """Whether each column is a class, with 1 in the rows that have it and 0 in the others."""
    if len(columns) < 2 or any({*cells} - {"0", "1", "0.0", "1.0"} for cells in columns.values()):
        return False
    return all(sum(map(float, row)) == 1 for row in zip(*columns.values(), strict=True))


def _distinct(columns: Mapping[str, Cells]) -> list[str]:
    """Names of columns; of those that say the same, such as names and numbers of classes, the first that has names."""
    by_pattern: dict[tuple[int, ...], str] = {}
    for name, cells in columns.items():
        first = {cell: row for row, cell in reversed([*enumerate(cells)])}
        pattern = tuple(first[cell] for cell in cells)
        earlier = by_pattern.setdefault(pattern, name)
        if all(cell.isdecimal() for cell in columns[earlier]):
            by_pattern[pattern] = name
    return list(by_pattern.values())


def _existing(path: Path, columns: Mapping[str, Cells], key: str, name: str) -> str:
    if name not in columns:
        close = difflib.get_close_matches(name, columns, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join([*columns][:20])}"
        raise WellfitError(f"{key}: {path} has no column {name!r}; {hint} (params.yaml)")
    return name


def _labels(
    path: Path, names: Cells, classes: Cells, index: _Index, first_row: int
) -> tuple[dict[str, str], list[str]]:
    """The class of each image that has one, and what the user should know."""
    labels: dict[str, str] = {}
    absent = []
    for row, (cell, label) in enumerate(zip(names, classes, strict=True), start=first_row):
        found = index.find(cell) if cell else []
        if len(found) > 1:
            raise WellfitError(
                f"{path} row {row}: {cell!r} names {len(found)} images, {shown(found[0])} and {shown(found[1])}; write "
                "their paths"
            )
        if not found:
            absent.append((row, cell))
        elif label and labels.setdefault(found[0], _as_written(label)) != _as_written(label):
            raise WellfitError(
                f"{path} row {row}: {cell!r} is {label!r}, but {labels[found[0]]!r} in an earlier row; an image has "
                "one class"
            )
    if not absent:
        return labels, []
    row, cell = absent[0]
    fault = f"{len(absent)} of {len(names)} rows of {path.name} name no image in the folder, the first is row {row}"
    if len(absent) > (1 - NAMED) * len(names):
        raise WellfitError(f"{path}: {fault} ({cell!r}), and the images are called as {shown(index.example)}")
    return labels, [f"{fault} ({cell!r}); they are left out"]


def _as_written(label: str) -> str:
    return unicodedata.normalize("NFC", label)


def _sorted_classes(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=int if all(map(str.isdecimal, names)) else None))


def _are_splits(cells: Cells) -> bool:
    roles = {role_named(cell) for cell in {*cells}}
    return "train" in roles and len(roles) > 1 and roles <= {*SPLIT_NAMES}


def _splits(roles: Sequence[Role | None]) -> NDArray[np.str_] | None:
    """The split of each image; None where there are none but those for training."""
    found = {*roles}
    return np.array(roles) if "train" in found and len(found) > 1 and found <= {*SPLIT_NAMES} else None


def _role(file: str) -> Role | None:
    """The role of the outermost folder that has one."""
    return next((role for name in file.split("/")[:-1] if (role := role_named(name))), None)
