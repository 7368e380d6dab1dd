"""Which row goes into which split."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.folds import cut_folds
from wellfit.data.frame import frame_blocks
from wellfit.data.groups import draw_by_rows, other_shares
from wellfit.data.meta import SPLIT_NAMES, SplitName
from wellfit.data.raw import RawData
from wellfit.data.repeats import draw_parts, part_large_units
from wellfit.data.scratch import row_blocks
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    from wellfit.data.frame import Frame

Rows = NDArray[np.int64]
FEW = 0.1  # share of repeated rows in a table up to which splits may be drawn by distinct rows, as by rows
FEWEST = 5  # rows, of which none could be spared for validation and test
LATER: dict[SplitName, list[SplitName]] = {"train": ["val", "test"], "val": ["test"]}


class Assignment(NamedTuple):
    """Row numbers of each split, ascending.

    Attributes:
        rows: by split.
        warnings: what the user should know, one sentence each.
        folds: of each training row, which fold of a cross-validation it validates, from 1, and -1 for none; the
            validation rows are fold 0. None where there are no folds.
    """

    rows: dict[SplitName, Rows]
    warnings: tuple[str, ...]
    folds: Rows | None = None


def assign_rows(raw: RawData, data: DataConfig) -> Assignment:
    """Keeps the splits that are given, and draws the others from the rows for training.

    A publisher, the user's folders or ``data.time`` give splits; a row that has a duplicate in a later split is left
    out of them. The other splits are drawn with ``data.seed``, stratified by class for a classification. Rows that
    belong together are drawn together: the groups that the user has named, else the rows with equal x. In a table with
    many equal rows, those are drawn alone of which there are too many for one split (`wellfit.data.repeats`).

    With ``data.folds`` no validation rows are drawn: what is not in the test split is cut into folds, of which the
    first is the validation split (`wellfit.data.folds.cut_folds`).

    Args:
        raw: the whole data set.
        data: shares of what is drawn from, and the seed.

    Raises:
        WellfitError: a split or a fold would be empty, or a class has too few rows to stand in every one.
    """
    first_equal = find_duplicates(raw.x)
    given, warnings = _given(raw, data), []
    repeated = _repeated(first_equal) if not isinstance(raw.x, np.ndarray) else 0
    has_many = repeated > FEW * len(first_equal)
    if repeated and (raw.groups is not None or (has_many and (given != "train").any())):
        warnings.append(_drawn_alone(repeated, len(first_equal)))
        first_equal, has_many = np.arange(len(first_equal)), False
    if data.folds is not None and (given == "val").any():
        raise WellfitError(
            f"data.folds {data.folds}: data.name {data.name} has a validation split of its own; set data.folds to null"
        )
    overlap = _split_overlap(given, first_equal)
    if overlap.any():
        warnings.append(f"{overlap.sum()} rows equal a row of a later split (train, val, test) and are left out")
    rows: dict[SplitName, Rows] = {name: np.flatnonzero((given == name) & ~overlap) for name in SPLIT_NAMES}
    for name in SPLIT_NAMES:
        if (given == name).any() and not len(rows[name]):
            raise WellfitError(f"data.name {data.name}: every row of the {name} split equals one of a later split")
    # With folds a validation split is drawn, too, and given back: so the test rows are the same with and without.
    wanted: tuple[SplitName, ...] = ("val", "test") if raw.times is None or data.folds is None else ("test",)
    pool, drawn = rows["train"], [name for name in wanted if not (given == name).any()]
    if has_many:
        first_equal, parts, sentence = _draw_together(first_equal, raw, data)
        has_many = bool(parts)
        rows |= parts
        warnings += sentence
    if drawn and not has_many:
        units = (first_equal if raw.groups is None else raw.groups)[pool]
        rows |= {name: pool[np.isin(units, chosen)] for name, chosen in _draw(units, pool, drawn, raw, data).items()}
        if raw.groups is not None:
            warnings += other_shares({name: len(rows[name]) for name in drawn}, len(pool), data)
    if repeated := _repeated(first_equal[pool]):
        warnings.append(f"{repeated} rows equal an earlier row; each stands in the same split as the first of its kind")
    folds = None
    if data.folds is not None:
        rows["train"] = np.sort(np.concatenate([rows["train"], rows["val"]]))
        pool, fold = cut_folds(rows["train"], first_equal, raw, data, by_rows=has_many)
        if older := len(rows["train"]) - len(pool):
            warnings.append(f"{older} rows equal a newer row of another fold and are left out")
        rows |= {"train": pool[fold != 0], "val": pool[fold == 0]}
        folds = fold[fold != 0]
    warnings += _missing_classes(raw, rows, [] if raw.groups is not None else drawn)
    return Assignment({name: rows[name] for name in SPLIT_NAMES}, tuple(warnings), folds)


def find_duplicates(x: NDArray[Any] | Frame) -> Rows:
    """For each row the number of the first row with equal values.

    Args:
        x: (n, ...) images, or a table.
    """
    keys: NDArray[Any]
    if isinstance(x, np.ndarray):
        digests = [
            hashlib.blake2b(image.tobytes(), digest_size=16).digest() for images in row_blocks(x) for image in images
        ]
        keys = np.array(digests, dtype="V16")
    else:
        import pandas as pd

        # If two different rows have the same hash by chance, they only end up in the same split.
        hashes = [pd.util.hash_pandas_object(part, index=False).to_numpy() for part in frame_blocks(x)]
        keys = np.concatenate(hashes)
    in_order = np.sort(keys)
    if not (in_order[1:] == in_order[:-1]).any():
        return np.arange(len(keys))
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    first_equal: Rows = first[group]
    return first_equal


def _repeated(first_equal: Rows) -> int:
    """How many rows equal an earlier one."""
    in_order = np.sort(first_equal)
    return int((in_order[1:] == in_order[:-1]).sum())


def _drawn_alone(repeated: int, n_rows: int) -> str:
    return (
        f"{repeated} of {n_rows} rows equal an earlier row in all their columns, so equal rows may stand in different "
        "splits"
    )


def _draw_together(first_equal: Rows, raw: RawData, data: DataConfig) -> tuple[Rows, dict[SplitName, Rows], list[str]]:
    """Draws all splits of a table with many equal rows, which stay together unless there are too many of a kind.

    Returns:
        Which rows were kept together, as `find_duplicates` has it; the rows of each split, none where each row is to be
        drawn alone; and what the user should know of rows that were not kept together.
    """
    y = raw.y if raw.class_names else None
    shares: dict[SplitName, float] = {"test": data.test_fraction, "val": data.val_fraction}
    shares["train"] = 1 - sum(shares.values())
    smallest = [*shares.values(), *([(1 - data.test_fraction) / data.folds] if data.folds else [])]
    kept, large = part_large_units(first_equal, y, smallest)
    if _repeated(kept):
        part = draw_parts(kept, y, list(shares.values()), data.seed)
        rows = {name: np.flatnonzero(part == number) for number, name in enumerate(shares)}
        if all(len(np.unique(raw.y[each])) == len(raw.class_names) for each in rows.values() if raw.class_names):
            alone = _repeated(first_equal) - _repeated(kept) + large
            sentence = (
                f"{alone} of {len(kept)} rows repeat {large} row{'s' * (large > 1)} too often for one split: they are "
                "drawn one by one, so equal rows may stand in different splits"
            )
            return kept, rows, [sentence] if large else []
    return np.arange(len(kept)), {}, [_drawn_alone(_repeated(first_equal), len(kept))]


def _split_overlap(given: NDArray[np.str_], first_equal: Rows) -> NDArray[np.bool_]:
    """Which rows have a duplicate in a later split, (n,)."""
    overlap = np.zeros(len(given), bool)
    for name, later in LATER.items():
        overlap |= (given == name) & np.isin(first_equal, first_equal[np.isin(given, later)])
    return overlap


def _given(raw: RawData, data: DataConfig) -> NDArray[np.str_]:
    """The split of each row before anything is drawn, (n,); ``train`` where none is given."""
    if raw.times is not None:
        return _by_time(raw.times, data)
    if raw.splits is not None and data.split == "published":
        return raw.splits
    return np.full(len(raw.y), "train", dtype="U5")


def _by_time(times: NDArray[np.float64], data: DataConfig) -> NDArray[np.str_]:
    """The oldest rows for training, the newest for test; rows of one time stay together."""
    latest_first = np.sort(times)[::-1]
    n_test = round(len(times) * data.test_fraction)
    n_val = round(len(times) * data.val_fraction) if data.folds is None else 0
    test_from, val_from = latest_first[max(n_test - 1, 0)], latest_first[min(n_test + n_val, len(times)) - 1]
    splits = np.where(times >= test_from, "test", np.where(times >= val_from, "val", "train"))
    if len(np.unique(splits)) < (len(SPLIT_NAMES) if data.folds is None else 2):
        raise WellfitError(
            f"data.time {data.time}: its {len(np.unique(times))} different values leave a split without rows; change "
            "data.val_fraction or data.test_fraction, or split otherwise"
        )
    return splits


def _draw(units: Rows, pool: Rows, drawn: list[SplitName], raw: RawData, data: DataConfig) -> dict[SplitName, Rows]:
    """Units of each split that is drawn, and of train, which gets the rest."""
    from sklearn.model_selection import train_test_split

    rest, first = np.unique(units, return_index=True)
    labels = raw.y[pool[first]] if raw.class_names and raw.groups is None else None
    sizes = _sizes(len(rest), drawn, data)
    chosen: dict[SplitName, Rows] = {}
    for name in drawn:
        try:
            positions, taken = train_test_split(
                np.arange(len(rest)), test_size=sizes[name], stratify=labels, random_state=data.seed
            )
        except ValueError:  # fewer rows than classes, or a class of one row
            raise _too_small_a_class(raw, pool[first], sizes) from None
        rest, chosen[name] = rest[positions], rest[taken]
        labels = labels[positions] if labels is not None else None
    if raw.groups is not None:
        n_rows = {name: int(np.isin(units, chosen[name]).sum()) for name in drawn}
        if other_shares(n_rows, len(units), data):
            return draw_by_rows(units, drawn, data)
    return chosen | {"train": rest}


def _sizes(n_units: int, drawn: list[SplitName], data: DataConfig) -> dict[SplitName, int]:
    fractions: dict[SplitName, float] = {"val": data.val_fraction, "test": data.test_fraction}
    sizes: dict[SplitName, int] = {name: round(n_units * fractions[name]) for name in drawn}
    sizes["train"] = n_units - sum(sizes.values())
    what = "groups" if data.group else "distinct rows"
    if n_units < FEWEST and not data.group:
        raise WellfitError(
            f"data.name {data.name}: {n_units} {what} are too few to train, validate and test with; get more rows"
        )
    for name, size in sizes.items():
        if size < 1:
            raise WellfitError(
                f"data.name {data.name}: the {name} split would be empty, as {n_units} {what} are split by "
                + " and ".join(f"data.{each}_fraction {fractions[each]:g}" for each in drawn)
                + "; change these"
            )
    return sizes


def _missing_classes(raw: RawData, rows: dict[SplitName, Rows], drawn: list[SplitName]) -> list[str]:
    """Refuses classes missing in train or in a split drawn by rows, and warns of those missing elsewhere."""
    sentences = []
    sizes = {name: len(part) for name, part in rows.items()}
    for name, part in rows.items():
        missing = np.setdiff1d(np.arange(len(raw.class_names)), raw.y[part] if raw.class_names else [])
        if not missing.size:
            continue
        if name in drawn:
            raise _too_small_a_class(raw, np.concatenate(list(rows.values())), sizes)
        named = ", ".join(repr(raw.class_names[index]) for index in missing[:5])
        if name == "train":
            raise WellfitError(
                f"class {named} does not occur in the {len(part)} training rows; split otherwise (data.group, "
                "data.time, data.seed), or leave its rows out"
            )
        sentences.append(f"the {name} split has no rows of class {named}")
    return sentences


def _too_small_a_class(raw: RawData, rows: Rows, sizes: dict[SplitName, int]) -> WellfitError:
    counts = np.bincount(raw.y[rows], minlength=len(raw.class_names))
    rarest = int(counts.argmin())
    listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
    few, is_images = counts[rarest] < len(SPLIT_NAMES), isinstance(raw.x, np.ndarray)
    if few and is_images:
        advice = "add images of it, put them into another class, or remove them"
    elif few:
        advice = "get more rows of it, leave it out, or count it as another class"
    else:
        advice = "raise data.val_fraction or data.test_fraction, or get more rows"
    if not is_images and len(counts) > 2 and all(name.lstrip("-").isdigit() for name in raw.class_names):
        advice += f"; or, as {raw.target_name!r} holds whole numbers, set data.task to regression"
    what = f"distinct {'image' if is_images else 'row'}{'' if counts[rarest] == 1 else 's'}"
    of_it = rows[raw.y[rows] == rarest]
    example = f", {raw.ids[of_it[0]]}," if is_images and raw.ids is not None and len(of_it) else ","
    return WellfitError(
        f"class {raw.class_names[rarest]!r} has {counts[rarest]} {what}{example} too few to stand in every split "
        f"({listed} rows); {advice}"
    )
