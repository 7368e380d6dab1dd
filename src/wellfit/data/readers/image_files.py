"""Lists the images of a folder with their classes: torchvision's ImageFolder layout, with or without splits."""

import difflib
import os
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from wellfit.data.store import SPLIT_NAMES, SplitName
from wellfit.errors import WellfitError

# torchvision.datasets.folder.IMG_EXTENSIONS
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
IGNORED = ("thumbs.db", "desktop.ini", "__macosx")  # of operating systems; hidden files are ignored, too
UNWRITABLE = ("Cc", "Cs", "Zl", "Zp")  # Unicode's control characters, line ends and bytes that are not UTF-8


class ImageFiles(NamedTuple):
    """The images of a folder, by split, then by class, then in the order of torchvision.datasets.ImageFolder.

    Attributes:
        files: path of each image, relative to the folder and with forward slashes: what the row is called.
        labels: int64 (n,) class indices.
        class_names: names of the class folders, sorted as ImageFolder sorts them.
        splits: (n,) of train, val and test where the folder has such folders, else None.
        warnings: what the user should know, one sentence each.
    """

    files: tuple[str, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    splits: NDArray[np.str_] | None
    warnings: tuple[str, ...]


class _Part(NamedTuple):
    """A folder of class folders: the whole folder, or that of one split.

    Attributes:
        path: of the folder.
        images: by class folder; as in `ImageFiles.files`.
        unused: files that are no images, and images that stand in no class folder.
    """

    path: Path
    images: dict[str, list[str]]
    unused: list[str]


def list_images(folder: Path) -> ImageFiles:
    """Finds the images of ``folder/<class>/`` or of ``folder/<split>/<class>/``, at any depth, without opening one.

    Splits are told by the name of their folders, in upper or lower case: train or training, without which there is no
    split; val, valid or validation; test or testing. Hidden files and folders are passed over. Links are followed,
    also out of the folder, as folders of links and DVC's cache need it: images are only ever read.

    Args:
        folder: the value of ``data.path``.

    Raises:
        WellfitError: no folder, no images, fewer than two classes, a class without images, a class that is not in
            train, class folders beside those of splits, or a name that cannot be written into a table.
    """
    if not folder.is_dir():
        fault = "is a file" if folder.is_file() else "does not exist"
        raise WellfitError(f"data.path {folder} {fault}; it must be a folder with one folder of images for each class")
    folders, files = _listed(folder)
    split_folders = _split_folders(folder, folders)
    parts: dict[SplitName | None, _Part] = {split: _read_part(folder, name) for split, name in split_folders.items()}
    parts = parts or {None: _read_part(folder, "")}
    first, *rest = parts.values()  # the whole folder, or train
    _check_classes(first)
    warnings = [*_differing_in_case(first), *(sentence for part in rest for sentence in _missing_classes(first, part))]
    unused = [file for part in parts.values() for file in part.unused]
    if split_folders:
        others = [name for name in folders if name not in split_folders.values()]
        unused = [*files, *(file for name in others for file in _files_below(folder, name)), *unused]
    rows = [
        (file, label, split)
        for split, part in parts.items()
        for label, name in enumerate(first.images)
        for file in part.images.get(name, [])
    ]
    names, labels, splits = zip(*rows, strict=True)
    return ImageFiles(
        files=names,
        labels=np.array(labels, np.int64),
        class_names=tuple(first.images),
        splits=np.array(splits) if split_folders else None,
        warnings=(*warnings, *_left_out(unused)),
    )


def images_below(folder: Path) -> list[str]:
    """The images in a folder, at any depth: paths relative to it, by folder and then by name.

    Raises:
        WellfitError: no folder, no images, or a name that cannot be written into a table.
    """
    if not folder.is_dir():
        raise WellfitError(f"{folder} is no folder")
    found = [file.removeprefix("./") for file in _files_below(folder, ".") if _is_image(file)]
    if not found:
        raise WellfitError(f"{folder} holds no images ({', '.join(EXTENSIONS)})")
    return found


def describe_folder(folder: Path) -> dict[str, Any]:
    """Finds the images, and says how many of which classes there are, for ``source.json``."""
    found = list_images(folder)
    return {"images": len(found.files), "classes": list(found.class_names)}


def _split_folders(folder: Path, folders: list[str]) -> dict[SplitName, str]:
    """The folder of each split, train first; empty where there are none."""
    found: dict[SplitName, str] = {}
    for name in folders:
        split = SPLIT_FOLDERS.get(name.casefold())
        if split in found:
            raise WellfitError(f"{folder} has both {found[split]} and {name} for the {split} split; keep one")
        if split:
            found[split] = name
    if not found:
        return {}
    others = (name for name in folders if name not in found.values())
    classes = [name for name in others if any(map(_is_image, _files_below(folder, name)))]
    if classes or "train" not in found:
        named = next(iter(found.values()))
        fault = f"beside {classes[0]}; move it into the splits" if classes else "but no train folder; add one"
        raise WellfitError(f"{folder} has {named}, the name of a split, {fault}, or rename {named} if it is a class")
    return {name: found[name] for name in SPLIT_NAMES if name in found}


def _read_part(folder: Path, inside: str) -> _Part:
    """Lists the class folders of ``folder/inside``."""
    path = folder / inside
    prefix = f"{inside}/" if inside else ""
    folders, files = _listed(path)
    images: dict[str, list[str]] = {}
    unused = [f"{prefix}{file}" for file in files]
    for name in folders:
        found = _files_below(folder, f"{prefix}{name}", (os.path.realpath(path),))
        images[name] = [file for file in found if _is_image(file)]
        unused += [file for file in found if not _is_image(file)]
    return _Part(path, images, unused)


def _files_below(folder: Path, inside: str, around: tuple[str, ...] = ()) -> list[str]:
    """All files in ``folder/inside``, at any depth, by folder and then by name.

    Args:
        folder: what the files are relative to.
        inside: a folder in it.
        around: the real paths of folders that it stands in.
    """
    real = os.path.realpath(folder / inside)
    if real in around:
        raise WellfitError(f"{folder / inside} leads back to a folder around it; remove the link")
    folders, files = _listed(folder / inside)
    found = [f"{inside}/{file}" for file in files]
    for name in folders:
        found += _files_below(folder, f"{inside}/{name}", (*around, real))
    return sorted(found, key=lambda file: file.rpartition("/"))


def _listed(path: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder, sorted, without the hidden ones."""

    def refuse(error: OSError) -> NoReturn:
        raise WellfitError(f"{path} cannot be listed: {error.strerror}; make it readable, or remove it") from None

    _, folders, files = next(os.walk(path, onerror=refuse))
    shown = sorted(filter(_is_shown, folders)), sorted(filter(_is_shown, files))
    for name in (*shown[0], *shown[1]):
        if any(unicodedata.category(character) in UNWRITABLE for character in name):
            raise WellfitError(f"{path}: the name {name!a} has a control character or is not UTF-8; rename it")
    return shown


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in IGNORED


def _is_image(file: str) -> bool:
    return file.lower().endswith(EXTENSIONS)


def _check_classes(part: _Part) -> None:
    _check_any(part)
    for name, files in part.images.items():
        if not files:
            raise WellfitError(
                f"{part.path / name} holds no images ({', '.join(EXTENSIONS)}); add some, or remove the folder"
            )
    if len(part.images) == 1:
        (name,) = part.images
        folders, _ = _listed(part.path / name)
        hint = f"; if its folders are the classes, set data.path to {part.path / name}" if len(folders) > 1 else ""
        raise WellfitError(f"{part.path} has one class only, {name!r}, and a classification needs two or more{hint}")


def _check_any(part: _Part) -> None:
    if any(part.images.values()):
        return
    loose = [file for file in part.unused if _is_image(file)]
    if loose:
        raise WellfitError(
            f"{part.path} has images, such as {loose[0]}, but no class folders; move the images of each class into a "
            "folder of its name"
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


def _differing_in_case(part: _Part) -> list[str]:
    by_lower: dict[str, str] = {}
    for name in part.images:
        earlier = by_lower.setdefault(name.casefold(), name)
        if earlier != name:
            return [f"classes {earlier!r} and {name!r} differ in upper and lower case only"]
    return []


def _left_out(unused: list[str]) -> list[str]:
    sentences = []
    for fault, found in (
        ("stand in no class folder", [file for file in unused if _is_image(file)]),
        ("are not images", [file for file in unused if not _is_image(file)]),
    ):
        if found:
            sentences.append(f"{len(found)} files {fault} and are left out, the first is {found[0]}")
    return sentences
