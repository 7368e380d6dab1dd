"""The images of a folder, at any depth, without what operating systems leave there."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from wellfit.errors import WellfitError

# torchvision.datasets.folder.IMG_EXTENSIONS
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# Of operating systems, in lower case; hidden files are ignored, too. A share shows the line end of Icon as U+F00D.
IGNORED = (
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__macosx",
    "icon\r",
    "icon\uf00d",
    "@eadir",
    "#recycle",
    "#snapshot",
    "@recycle",
    "@recently-snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
)
UNWRITABLE = ("Cc", "Cs", "Zl", "Zp")  # Unicode's control characters, line ends and bytes that are not UTF-8


class ImageFiles(NamedTuple):
    """The images of a folder, by split, then by class, then in the order of torchvision.datasets.ImageFolder.

    Attributes:
        files: path of each image, relative to the folder and with forward slashes.
        labels: int64 (n,) class indices.
        class_names: names of the class folders, sorted as ImageFolder sorts them.
        splits: (n,) of train, val and test where the folder has such folders, else None.
        warnings: what the user should know, one sentence each.
        unlabelled: paths of images without a class, which are predicted and not scored.
        target_name: what the classes are.
    """

    files: tuple[str, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    splits: NDArray[np.str_] | None
    warnings: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()
    target_name: str = "class"


def check_folder(folder: Path) -> None:
    """Checks that ``data.path`` is a folder.

    Raises:
        WellfitError: it is a file, or is not there.
    """
    if not folder.is_dir():
        fault = "is a file" if folder.is_file() else "does not exist"
        raise WellfitError(f"data.path {folder} {fault}; it must be a folder with one folder of images for each class")


def images_below(folder: Path) -> tuple[list[str], list[str]]:
    """The images in a folder, at any depth, and its other files: paths relative to it, by folder and then by name.

    Raises:
        WellfitError: no folder, or no images.
    """
    if not folder.is_dir():
        raise WellfitError(f"{folder} is no folder")
    files = files_below(folder, "")
    found = [file for file in files if is_image(file)]
    if not found:
        raise WellfitError(f"{folder} holds no images ({', '.join(EXTENSIONS)})")
    return found, [file for file in files if not is_image(file)]


def files_below(folder: Path, inside: str, around: tuple[str, ...] = ()) -> list[str]:
    """All files in ``folder/inside``, at any depth, by folder and then by name, as paths with forward slashes.

    Links are followed, also out of the folder, as folders of links and DVC's cache need it.

    Args:
        folder: what the paths are relative to.
        inside: a folder in it; empty for itself.
        around: the real paths of folders that it stands in.

    Raises:
        WellfitError: a folder cannot be listed, or a link leads back.
    """
    real = os.path.realpath(folder / inside)
    if real in around:
        raise WellfitError(f"{shown(str(folder / inside))} leads back to a folder around it; remove the link")
    folders, files = listed(folder / inside)
    found = [joined(inside, file) for file in files]
    for name in folders:
        found += files_below(folder, joined(inside, name), (*around, real))
    return sorted(found, key=lambda file: file.rpartition("/"))


def listed(path: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder, sorted, without the hidden ones.

    Raises:
        WellfitError: the folder cannot be listed.
    """

    def refuse(error: OSError) -> NoReturn:
        fault = f"cannot be listed: {error.strerror}; make it readable, or remove it"
        raise WellfitError(f"{shown(str(path))} {fault}") from None

    _, folders, files = next(os.walk(path, onerror=refuse))
    return sorted(filter(_is_used, folders)), sorted(filter(_is_used, files))


def joined(inside: str, name: str) -> str:
    """The path of a name in a folder; the empty folder is the one that paths are relative to."""
    return f"{inside}/{name}" if inside else name


def differing_in_case(class_names: Sequence[str]) -> list[str]:
    """Says which classes differ in upper and lower case only."""
    by_lower: dict[str, str] = {}
    for name in class_names:
        earlier = by_lower.setdefault(name.casefold(), name)
        if earlier != name:
            return [f"classes {earlier!r} and {name!r} differ in upper and lower case only"]
    return []


def is_image(file: str) -> bool:
    """Whether a file is an image, by its name."""
    return file.lower().endswith(EXTENSIONS)


def shown(name: str) -> str:
    """A name that can be printed and written: control characters and bytes that are not UTF-8 as Python writes them."""
    return "".join(map(_shown_character, name))


def _shown_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte, as os.fsdecode gives it
        return f"\\x{ord(character) - 0xDC00:02x}"
    is_writable = unicodedata.category(character) not in UNWRITABLE
    return character if is_writable else character.encode("unicode_escape").decode()


def _is_used(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in IGNORED
