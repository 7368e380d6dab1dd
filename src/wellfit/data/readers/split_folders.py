"""Folders of splits, told by their names: train and test, and what public data sets call them."""

import re
from typing import Literal

from wellfit.data.store import SplitName

Role = SplitName | Literal["unlabelled"]
# These are splits wherever they stand; the others only beside a folder of class folders that is called as training is.
SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
OTHER_WORDS: dict[str, Role] = {
    "trainset": "train",
    "traindata": "train",
    "valset": "val",
    "validationset": "val",
    "dev": "val",
    "testset": "test",
    "testdata": "test",
    "pred": "unlabelled",
    "predict": "unlabelled",
    "prediction": "unlabelled",
    "unlabelled": "unlabelled",
    "unlabeled": "unlabelled",
    "unknown": "unlabelled",
}
WORDS: dict[str, Role] = {**SPLIT_FOLDERS, **OTHER_WORDS}
FILLERS = {"set", "data", "dataset", "images", "image", "imgs", "img", "pictures", "photos", "seg", "split", "folder"}


def split_named(name: str) -> SplitName | None:
    """The split of a folder that is called as splits mostly are, in upper or lower case."""
    return SPLIT_FOLDERS.get(name.casefold())


def role_named(name: str) -> Role | None:
    """The split that a name may stand for, such as training_set, seg_test or val2017; or that of images to predict."""
    words = [word for word in re.findall(r"[^\W\d_]+", name.casefold()) if word not in FILLERS]
    return WORDS.get(words[0]) if len(words) == 1 else None
