"""Folders of splits, told by their names: train and test, and what public data sets call them."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from wellfit.data.meta import SplitName

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
FILLERS = frozenset(("set", "data", "dataset", "images", "image", "imgs", "img", "pictures", "photos", "seg", "single"))


def split_named(name: str) -> SplitName | None:
    """The split of a folder that is called as splits mostly are, in upper or lower case."""
    return SPLIT_FOLDERS.get(name.casefold())


def role_named(name: str) -> Role | None:
    """The split that a name may stand for, such as training_set, seg_test or val2017; or that of images to predict."""
    words = _words(name)
    return WORDS.get(words[0]) if len(words) == 1 else None


def roles_named(names: Sequence[str]) -> dict[str, Role]:
    """As `role_named`, also of names that have other words in common, such as alphabet_train and alphabet_test."""
    alike: defaultdict[tuple[str, ...], dict[str, Role]] = defaultdict(dict)
    for name in names:
        words = _words(name)
        roles = [WORDS[word] for word in words if word in WORDS]
        if len(roles) == 1:
            alike[tuple(word for word in words if word not in WORDS)][name] = roles[0]
    return {
        name: role
        for rest, found in alike.items()
        if not rest or len({*found.values()}) == len(found) > 1
        for name, role in found.items()
    }


def is_plain(name: str) -> bool:
    """Whether a name says no more than that images are in the folder."""
    return not _words(name)


def _words(name: str) -> list[str]:
    return [word for word in re.findall(r"[^\W\d_]+", name.casefold()) if word not in FILLERS]
