from typing import Any

import pytest

from wellfit.data.meta import Column, Meta, data_title

FIELDS: dict[str, Any] = {
    "name": "wine",
    "kind": "table",
    "task": "classification",
    "columns": (
        Column(name="süße", fill=0.5, flags_missing=True, categories=()),
        Column(name="b", fill=None, flags_missing=False, categories=("x", "ÿ")),
    ),
    "class_names": ("no", "yes"),
    "target_name": "t",
    "input_shape": (2,),
    "split_sizes": {"train": 6, "val": 4, "test": 2},
    "mean": (0.1 + 0.2, 1e-30),
    "std": (1.0, 2 / 3),
    "target_mean": None,
    "target_std": None,
    "class_counts": (3, 3),
    "warnings": ("mind this",),
}


def test_category_counts_are_of_the_last_columns() -> None:
    assert Meta(**FIELDS, manifest={}).category_counts == (2,)


def test_nan_never_gets_into_the_file() -> None:
    with pytest.raises(ValueError, match="finite"):
        Meta(**FIELDS | {"mean": (float("nan"), 0.0)}, manifest={})


@pytest.mark.parametrize("change", [{"mean": (0.5, 0.0)}, {"name": "moons"}, {"warnings": ()}])
def test_the_hash_depends_on_everything(change: dict[str, Any]) -> None:
    assert Meta(**FIELDS, manifest={}).sha256 != Meta(**FIELDS | change, manifest={}).sha256


def test_the_hash_depends_on_the_manifest() -> None:
    assert Meta(**FIELDS, manifest={"a": "1"}).sha256 != Meta(**FIELDS, manifest={"a": "2"}).sha256


def test_meta_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Meta(**FIELDS, manifest={}).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "title"),
    [("data/own/my.houses.csv", "my.houses"), ("data/own", "own"), ("data/own/*.csv", "own"), ("own/**/a*.csv", "own")],
)
def test_data_are_called_by_their_file_or_folder(path: str, title: str) -> None:
    assert data_title(path) == title
