"""Images whose folders are their classes: torchvision's ImageFolder layout, with or without splits."""

import difflib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wellfit.data.meta import SPLIT_NAMES, SplitName
from wellfit.data.readers.image_files import (
    EXTENSIONS,
    ImageFiles,
    check_folder,
    differing_in_case,
    files_below,
    is_image,
    joined,
    listed,
    shown,
)
from wellfit.data.readers.image_labels import label_files
from wellfit.data.readers.split_folders import Role, is_plain, role_named, roles_named, split_named
from wellfit.errors import WellfitError


class _Level(NamedTuple):
    """What a folder holds: the files below each folder in it, and its own files. Empty folders are not among them."""

    folders: dict[str, list[str]]
    files: list[str]

    @property
    def with_images(self) -> list[str]:
        """Names of the folders that hold images, at any depth."""
        return [name for name, found in self.folders.items() if any(map(is_image, found))]

    @property
    def has_images(self) -> bool:
        """Whether images stand in no folder of it."""
        return any(map(is_image, self.files))


class _Part(NamedTuple):
    """A folder of class folders: the whole folder, or that of one split.

    Attributes:
        path: of the folder.
        images: by class; as in `ImageFiles.files`.
        loose: images that stand in no class folder.
    """

    path: Path
    images: dict[str, list[str]]
    loose: list[str]


_Parts = tuple[dict[SplitName | None, _Part], list[str], list[str]]


def list_images(folder: Path) -> ImageFiles:
    """Finds the images of ``folder/<class>/`` or of ``folder/<split>/<class>/``, at any depth, without opening one.

    Splits are told by the name of their folders (see `wellfit.data.readers.split_folders`); without a train folder
    there is no split. A folder that is the only one around the others is looked into. Images of a val or test folder
    that has no class folders have no class. Hidden files and folders are passed over. Links are followed, also out of
    the folder: images are only ever read.

    Args:
        folder: the value of ``data.path``.

    Raises:
        WellfitError: no folder, no images, fewer than two classes, a class without images, a class that is not in
            train, or class folders beside those of splits.
    """
    check_folder(folder)
    files = files_below(folder, "")
    root = _innermost(files, "", lambda path, level: bool(level.with_images) and not split_named(_name(path)))
    splits = _split_folders(folder, root, files)
    parts, unlabelled, warnings = _read_splits(folder, splits, files) if splits else _read_whole(folder, root, files)
    first, *rest = parts.values()  # the whole folder, or train
    tables = label_files(folder, files)
    _check_classes(first, tables)
    warnings += [
        *differing_in_case(tuple(first.images)),
        *(sentence for part in rest for sentence in _missing_classes(first, part)),
    ]
    if tables:
        warnings.append(f"{tables[0]} names the images, too: set data.labels to it if it has their classes")
    rows = [
        (file, label, split)
        for split, part in parts.items()
        for label, name in enumerate(first.images)
        for file in part.images.get(name, [])
    ]
    names, labels, split_of_rows = zip(*rows, strict=True)
    used = {*names, *unlabelled}
    return ImageFiles(
        files=names,
        labels=np.array(labels, np.int64),
        class_names=tuple(first.images),
        splits=np.array(split_of_rows) if splits else None,
        warnings=(*warnings, *_left_out([file for file in files if file not in used])),
        unlabelled=tuple(unlabelled),
    )


def _innermost(files: Sequence[str], inside: str, is_wrapper: Callable[[str, _Level], bool]) -> str:
    """Looks into a folder that is the only one with images, again and again, where it only wraps what is in it."""
    level = _level(files, inside)
    if len(level.with_images) != 1 or level.has_images:
        return inside
    within = joined(inside, level.with_images[0])
    return _innermost(files, within, is_wrapper) if is_wrapper(within, _level(files, within)) else inside


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _level(files: Sequence[str], inside: str) -> _Level:
    prefix = f"{inside}/" if inside else ""
    level = _Level({}, [])
    for file in files:
        if file.startswith(prefix):
            name, slash, _ = file[len(prefix) :].partition("/")
            (level.folders.setdefault(name, []) if slash else level.files).append(file)
    return level


def _split_folders(folder: Path, root: str, files: Sequence[str]) -> dict[Role, str]:
    """The folder of each split, train first; empty where there are none."""
    level, path = _level(files, root), folder / root
    names, _ = listed(path)
    roles: Mapping[str, Role | None] = {name: split_named(name) for name in names}
    if _are_splits(other_roles := roles_named(names), files, root, level):
        roles = other_roles
    found: dict[Role, str] = {}
    for name, role in roles.items():
        if not role:
            continue
        if role in found:
            raise WellfitError(f"{path} has both {found[role]} and {name} for the {role} split; keep one")
        found[role] = name
    if not found:
        return {}
    classes = [name for name in level.with_images if name not in found.values()]
    if classes or "train" not in found:
        named = next(iter(found.values()))
        fault = f"beside {shown(classes[0])}; move that out of the folder, into the splits" if classes else ""
        fault += ", or call it val or test if it is one" if classes else "but no train folder; add one"
        raise WellfitError(f"{path} has {named}, the name of a split, {fault}, or rename {named} if it is a class")
    in_order: tuple[Role, ...] = (*SPLIT_NAMES, "unlabelled")
    return {role: joined(root, found[role]) for role in in_order if role in found}


def _are_splits(roles: Mapping[str, Role], files: Sequence[str], root: str, level: _Level) -> bool:
    """Whether one that may be called after training has class folders, or all folders are called as splits."""
    train = [name for name in level.with_images if roles.get(name) == "train"]
    if any(not _level(files, joined(root, name)).has_images for name in train):
        return True
    return bool(train) and len(roles) > 1 and {*level.with_images} <= {*roles}


def _read_whole(folder: Path, root: str, files: Sequence[str]) -> _Parts:
    """The one part of a folder without splits."""
    part = _read_part(folder, root, files)
    warnings = [f"the classes are the folders of {shown(root)}, the only folder"] if root else []
    return {None: part}, [], [*warnings, *_look_like_splits(files, root, part)]


def _read_splits(folder: Path, splits: dict[Role, str], files: Sequence[str]) -> _Parts:
    """The part of each split that has classes, images without a class, and what the user should know."""
    inside = _innermost(files, splits["train"], lambda _, level: bool(level.with_images))
    train = _read_part(folder, inside, files)
    parts: dict[SplitName | None, _Part] = {"train": train}
    places, unlabelled, warnings = {splits["train"]: inside}, [], []
    for role, path in splits.items():
        if role == "train":
            continue

        def is_wrapper(path: str, level: _Level) -> bool:
            around, name = path.split("/")[-2:]
            if _class_name(name) in train.images:
                return False
            is_by_name = name == around or role_named(name) or is_plain(name)
            return bool(is_by_name or set(map(_class_name, level.with_images)) & {*train.images})

        inside = _innermost(files, path, is_wrapper)
        level = _level(files, inside)
        if role == "unlabelled" or (level.has_images and not level.with_images):
            images = [file for file in files if file.startswith(f"{path}/") and is_image(file)]
            unlabelled += images
            warnings += [f"images without a class in {shown(path)}: {len(images)}; they are predicted, not scored"]
        else:
            parts[role] = _read_part(folder, inside, files)
            places[path] = inside
    named = [f"{shown(inside)} is taken for the {split} split" for split, inside in _by_other_names(parts, places)]
    return parts, unlabelled, ["; ".join(named), *warnings] if named else warnings


def _by_other_names(parts: dict[SplitName | None, _Part], places: dict[str, str]) -> list[tuple[SplitName | None, str]]:
    """The splits and their folders, unless these are called train, val and test and stand at the top."""
    usual = all(path == inside and path.casefold() in SPLIT_NAMES for path, inside in places.items())
    return [] if usual else list(zip(parts, places.values(), strict=True))


def _class_name(folder_name: str) -> str:
    """Names that look the same, as macOS and others write accents, are one class."""
    return unicodedata.normalize("NFC", shown(folder_name))


def _read_part(folder: Path, inside: str, files: Sequence[str]) -> _Part:
    """Lists the class folders of ``folder/inside``."""
    level = _level(files, inside)
    names, _ = listed(folder / inside)
    images: dict[str, list[str]] = {}
    for name in names:
        images.setdefault(_class_name(name), []).extend(filter(is_image, level.folders.get(name, [])))
    return _Part(folder / inside, dict(sorted(images.items())), list(filter(is_image, level.files)))


def _check_classes(part: _Part, tables: Sequence[str]) -> None:
    _check_any(part, tables)
    for name, files in part.images.items():
        if not files:
            raise WellfitError(
                f"{part.path / name} holds no images ({', '.join(EXTENSIONS)}); add some, or remove the folder"
            )
    if len(part.images) == 1:
        (name,) = part.images
        fault = f"has one class only, {name!r}, and a classification needs two or more"
        way_out = f"; set data.labels to {tables[0]} if it has others" if tables else ""
        raise WellfitError(f"{part.path} {fault}{way_out}")


def _check_any(part: _Part, tables: Sequence[str] = ()) -> None:
    if any(part.images.values()):
        return
    if part.loose:
        way_out = f"set data.labels to {tables[0]}" if tables else "name a CSV file of their classes in data.labels"
        raise WellfitError(
            f"{part.path} has images, such as {shown(part.loose[0])}, but no class folders; move the images of each "
            f"class into a folder of its name, or {way_out}"
        )
    raise WellfitError(
        f"{part.path} holds no images ({', '.join(EXTENSIONS)}); it must have one folder of them for each class"
    )


def _missing_classes(train: _Part, part: _Part) -> list[str]:
    """Checks the classes of another split against those of train, and says which it does not have."""
    _check_any(part)
    for name, files in part.images.items():
        if files and name not in train.images:
            close = difflib.get_close_matches(name, train.images, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise WellfitError(
                f"{part.path / name} is a class that {train.path} does not have; add images of it there, or remove "
                f"it{hint}"
            )
    missing = [name for name in train.images if not part.images.get(name)]
    return [f"{part.path.name} has no images of {', '.join(map(repr, missing))}"] if missing else []


def _look_like_splits(files: Sequence[str], root: str, part: _Part) -> list[str]:
    """Says that folders hold the same folders and no images of their own, as splits by unusual names do."""
    levels = {name: _level(found, joined(root, name)) for name, found in _level(files, root).folders.items()}
    levels = {name: level for name, level in levels.items() if level.with_images or level.has_images}
    held = {frozenset(level.with_images) for level in levels.values()}
    if len(held) != 1 or any(level.has_images or len(level.with_images) < 2 for level in levels.values()):
        return []
    outer, inner = (", ".join(map(shown, sorted(names)[:5])) for names in (part.images, *held))
    return [f"the classes are {outer}, each of which holds {inner}: if those are the classes, call the folders around "
            "them train, val and test"]  # fmt: skip


def _left_out(unused: list[str]) -> list[str]:
    sentences = []
    for fault, found in (
        ("stand in no class folder", [file for file in unused if is_image(file)]),
        ("are not images", [file for file in unused if not is_image(file)]),
    ):
        if found:
            sentences.append(f"{len(found)} files {fault} and are left out, the first is {shown(found[0])}")
    return sentences
