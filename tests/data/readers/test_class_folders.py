import os
from pathlib import Path

import numpy as np
import pytest

from wellfit.data.readers.class_folders import list_images
from wellfit.data.readers.image_files import EXTENSIONS, shown
from wellfit.errors import WellfitError


def make(folder: Path, *files: str) -> Path:
    """Empty files, and empty folders where the name ends in a slash: nothing here opens one."""
    for file in files:
        path = folder / file
        if file.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder


PETS = ("cats/1.png", "cats/2.png", "dogs/1.png")


def test_the_folders_are_the_classes(tmp_path: Path) -> None:
    found = list_images(make(tmp_path, "dogs/1.png", "cats/2.png", "cats/1.png", "Bats/1.png"))
    assert found.class_names == ("Bats", "cats", "dogs")  # as sorted() has them: capitals first
    assert found.files == ("Bats/1.png", "cats/1.png", "cats/2.png", "dogs/1.png")
    assert found.labels.tolist() == [0, 1, 1, 2]
    assert found.labels.dtype == np.int64
    assert found.splits is None
    assert found.warnings == ()


def test_files_labels_and_classes_are_those_of_torchvision(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    make(tmp_path, *(f"b/x{extension}" for extension in EXTENSIONS), "b/x.gif", "b/x.txt", "b/y.PNG", "b/Z.Jpg")
    make(tmp_path, "a/10.png", "a/9.png", "a/é.png", "a/.png", "a c/1.png", "a-c/1.png", "C/1.png")
    make(tmp_path, "a/deep/1.png", "a/deep-er/2.png", "a/deep/er/1.png", "a/deep/0.txt", "a/deep/a.png", "a/Z/1.png")
    (tmp_path / "a" / ".png").unlink()  # hidden for us, an image for torchvision
    found, theirs = list_images(tmp_path), ImageFolder(tmp_path)
    assert list(found.class_names) == theirs.classes
    assert [str(tmp_path / file) for file in found.files] == [path for path, _ in theirs.samples]
    assert found.labels.tolist() == theirs.targets


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Train", "val", "TEST"), ("train", "", "")],
)
def test_the_folders_own_splits(train: str, val: str, test: str, tmp_path: Path) -> None:
    files = [f"{split}/{file}" for split in (test, train, val) if split for file in PETS]
    found = list_images(make(tmp_path, *files))
    assert found.files == tuple(f"{split}/{file}" for split in (train, val, test) if split for file in PETS)
    assert found.class_names == ("cats", "dogs")
    assert found.labels.tolist() == [0, 0, 1] * (len(files) // 3)
    assert found.splits is not None
    expected = [name for name, split in (("train", train), ("val", val), ("test", test)) if split for _ in PETS]
    assert found.splits.tolist() == expected
    assert found.warnings == ()


def test_only_some_splits_of_its_own(tmp_path: Path) -> None:
    found = list_images(make(tmp_path, "test/a/1.png", "train/a/1.png", "train/b/1.png", "train/b/2.png"))
    assert found.splits is not None
    assert found.splits.tolist() == ["train", "train", "train", "test"]
    assert found.labels.tolist() == [0, 1, 1, 0]
    assert found.warnings == ("test has no images of 'b'",)


def test_a_class_keeps_its_index_in_a_split_without_an_earlier_class(tmp_path: Path) -> None:
    found = list_images(
        make(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png", "val/a/", "val/c/1.png", "val/d/")
    )
    assert found.labels.tolist() == [0, 1, 2, 2]
    assert found.warnings == ("val has no images of 'a', 'b'",)


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    make(
        tmp_path,
        *PETS,
        ".DS_Store",
        ".git/1.png",
        "__MACOSX/cats/1.png",
        "cats/Thumbs.db",
        "cats/._1.png",
        "cats/Icon\r",
        "cats/@eaDir/1.png",
    )
    make(tmp_path, "cats/.ipynb_checkpoints/1.png", "desktop.ini", "dogs/__MACOSX/1.png", "lost+found/1.png")
    found = list_images(tmp_path)
    assert found.files == PETS
    assert found.warnings == ()


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    found = list_images(make(tmp_path, *PETS, "labels.csv", "cats/a.gif", "cats/deep/b.txt", "loose.png"))
    assert found.files == PETS
    assert found.warnings == (
        "1 files stand in no class folder and are left out, the first is loose.png",
        "3 files are not images and are left out, the first is labels.csv",
    )


def test_what_is_left_out_beside_splits(tmp_path: Path) -> None:
    files = [f"train/{file}" for file in PETS]
    found = list_images(make(tmp_path, *files, "docs/read.me", "a.txt", "b.png", "train/c.png", "train/d.csv", "xml/"))
    assert found.files == tuple(files)
    assert found.warnings == (
        "2 files stand in no class folder and are left out, the first is b.png",
        "3 files are not images and are left out, the first is a.txt",
    )


def test_classes_that_differ_in_case(tmp_path: Path) -> None:
    found = list_images(make(tmp_path, "cat/1.png", "Cat/1.png", "dog/1.png"))
    assert found.class_names == ("Cat", "cat", "dog")
    assert found.warnings == ("classes 'Cat' and 'cat' differ in upper and lower case only",)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (["data/"], "data holds no images (.jpg, .jpeg, .png, .ppm, .bmp, .pgm, .tif, .tiff, .webp); it must have"),
        (["data/read.me"], "data holds no images ("),
        (["data/cats/", "data/dogs/"], "data holds no images ("),
        (["data/cats/1.gif", "data/dogs/1.gif"], "data holds no images ("),
        (["data/1.png"], "data has images, such as 1.png, but no class folders; move the images of each class into"),
        (["data/cats/1.png", "data/dogs/1.gif"], "data/dogs holds no images (.jpg,"),
        (["data/cats/1.png"], "data has one class only, 'cats', and a classification needs two or more"),
        (["data/train/a/1.png", "data/test/a/1.png"], "data/train has one class only, 'a'"),
        (["data/train/a/1.png", "data/train/b/"], "data/train/b holds no images ("),
        (["data/train/1.png", "data/test/1.png"], "data/train has images, such as train/1.png, but no class folders"),
        (["data/train_images/1.png", "data/test_images/1.png"], "data/train_images has images, such as train_images/1"),
        (["data/train/", "data/test/a/1.png"], "data/train holds no images ("),
        (["data/train/a/1.png", "data/train/b/1.png", "data/val/"], "data/val holds no images ("),
        (
            ["data/train/a/1.png", "data/cats/1.png", "data/dogs/1.png"],
            "data has train, the name of a split, beside cats; move that out of the folder, into the splits, or call",
        ),
        (["data/bus/1.png", "data/Train/1.png"], "data has Train, the name of a split, beside bus; "),
        (
            ["data/test/a/1.png", "data/test/b/1.png"],
            "data has test, the name of a split, but no train folder; add one",
        ),
        (
            ["data/train/a/1.png", "data/val/a/1.png", "data/Valid/a/1.png"],
            "data has both Valid and val for the val spl",
        ),
        (
            ["data/train/cats/1.png", "data/train/dogs/1.png", "data/test/Cats/1.png"],
            "data/train does not have; add images of it there, or remove it; did you mean 'cats'?",
        ),
    ],
)
def test_a_folder_that_will_not_do_is_one_line(files: list[str], fault: str, tmp_path: Path) -> None:
    make(tmp_path, *files)
    with pytest.raises(WellfitError) as raised:
        list_images(tmp_path / "data")
    assert fault in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "data"))
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("Train", "valid", "TEST"),
        ("training", "validation", "testing"),
        ("training_set", "validation_set", "test_set"),
        ("seg_train", "", "seg_test"),
        ("train2017", "val2017", "test2017"),
        ("trainset", "dev", "testset"),
        ("TRAIN DATA", "Valid-Images", "test_images"),
        ("seg_train/seg_train", "", "seg_test/seg_test"),
        ("archive/train", "archive/val", "archive/test"),
        ("train", "", "test/test"),
        ("asl_alphabet_train/asl_alphabet_train", "", "asl_alphabet_test/images"),
    ],
)
def test_splits_by_other_names_are_taken_and_told(train: str, val: str, test: str, tmp_path: Path) -> None:
    names = {"train": train, "val": val, "test": test}
    found = list_images(make(tmp_path, *(f"{name}/{file}" for name in names.values() if name for file in PETS)))
    assert found.class_names == ("cats", "dogs")
    assert found.splits is not None
    assert found.splits.tolist() == [split for split, name in names.items() if name for _ in PETS]
    told = "; ".join(f"{name} is taken for the {split} split" for split, name in names.items() if name)
    assert found.warnings == (told,)


@pytest.mark.parametrize(
    "files",
    [
        ["dev/1.png", "prod/1.png"],
        ["training data/1.png", "weights/1.png"],
        ["unknown/1.png", "cats/1.png"],
        ["trainset/deep/1.png", "trainset/2.png", "bus/1.png"],
        ["cats/1.png", "cats/test/1.png", "dogs/train/1.png"],
        ["val2/a/1.png", "bus/a/1.png"],
    ],
)
def test_classes_whose_names_may_be_those_of_splits(files: list[str], tmp_path: Path) -> None:
    found = list_images(make(tmp_path, *files))
    assert found.splits is None
    assert set(found.class_names) == {file.partition("/")[0] for file in files}


def test_a_folder_around_all_others_is_looked_into(tmp_path: Path) -> None:
    found = list_images(make(tmp_path, *(f"archive/pets/{file}" for file in PETS), "archive/read.me"))
    assert found.class_names == ("cats", "dogs")
    assert found.files == tuple(f"archive/pets/{file}" for file in PETS)
    assert found.warnings == (
        "the classes are the folders of archive/pets, the only folder",
        "1 files are not images and are left out, the first is archive/read.me",
    )


@pytest.mark.parametrize(
    "folder", ["test", "test/test", "test/unknown", "test1", "seg_pred", "single_prediction", "test/images"]
)
def test_images_without_class_folders_beside_train_are_to_be_predicted(folder: str, tmp_path: Path) -> None:
    files = [f"train/{file}" for file in PETS]
    found = list_images(make(tmp_path, *files, f"{folder}/1.png", f"{folder}/2.png"))
    assert found.files == tuple(files)
    assert found.unlabelled == (f"{folder}/1.png", f"{folder}/2.png")
    assert found.splits is not None
    assert set(found.splits) == {"train"}
    outer = folder.partition("/")[0]
    assert found.warnings == (f"images without a class in {outer}: 2; they are predicted, not scored",)


def test_folders_that_hold_the_same_folders_are_told(tmp_path: Path) -> None:
    files = [f"{part}/{file}" for part in ("part1", "part2") for file in PETS]
    (sentence,) = list_images(make(tmp_path, *files)).warnings
    assert sentence.startswith("the classes are part1, part2, each of which holds cats, dogs: if those are the classes")
    (tmp_path / "part2" / "cats" / "1.png").rename(tmp_path / "part2" / "1.png")
    assert list_images(tmp_path).warnings == ()
    assert list_images(make(tmp_path / "deep", "cats/all/1.png", "dogs/all/1.png")).warnings == ()


def test_accents_of_macos_and_of_others_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = "caf\xe9", "cafe\u0301"
    files = [f"train/{decomposed}/1.png", "train/tea/1.png", f"test/{composed}/1.png", f"test/{decomposed}/2.png"]
    found = list_images(make(tmp_path, *files))
    assert found.class_names == (composed, "tea")
    assert found.labels.tolist() == [0, 1, 0, 0]
    assert {*found.files} == {*files}
    assert found.warnings == ("test has no images of 'tea'",)


def test_names_that_are_not_utf8_or_have_control_characters(tmp_path: Path) -> None:
    make(tmp_path, *PETS, "cats/a\nb\u2028.png", "co\tws/1.png")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/dogs/caf\xe9.png")).touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    found = list_images(tmp_path)
    assert found.class_names == ("cats", "co\\tws", "dogs")
    assert [shown(file) for file in found.files if shown(file) != file] == [
        "cats/a\\nb\\u2028.png",
        "co\\tws/1.png",
        "dogs/caf\\xe9.png",
    ]
    assert all((tmp_path / file).is_file() for file in found.files)


def test_a_csv_file_that_names_the_images_is_pointed_to(tmp_path: Path) -> None:
    make(tmp_path, "train/1.png", "train/2.png", "test/3.png", "test/4.png", "test/5.png")
    (tmp_path / "submission.csv").write_text("id,label\n3,x\n4,x\n5,x\n")
    (tmp_path / "train.csv").write_text("id,label\n1,x\n2,y\n")
    with pytest.raises(WellfitError, match=r"no class folders; .* or set data\.labels to train\.csv"):
        list_images(tmp_path)
    make(tmp_path, "train/a/1.png", "train/a/2.png", "train/b/6.png")
    sentence = "train.csv names the images, too: set data.labels to it if it has their classes"
    assert sentence in list_images(tmp_path).warnings


def test_names_in_any_script_will_do(tmp_path: Path) -> None:
    names = ("犬 🐕\u200d🦺", "क्\u200dष", "café\xa0noir", "a,b;\"c'", "=1+1", "x\\..\\y")
    found = list_images(make(tmp_path, *(f"{name}/1.png" for name in names)))
    assert found.class_names == tuple(sorted(names))


@pytest.mark.parametrize(("name", "fault"), [("absent", "does not exist"), ("file", "is a file"), ("gone", "does not")])
def test_no_folder(name: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(WellfitError, match=f"data.path .*{name} {fault}.*; it must be a folder with one folder of im"):
        list_images(tmp_path / name)


def test_links_are_followed_out_of_the_folder_too(tmp_path: Path) -> None:
    make(tmp_path / "pool", "1.png", "dogs/1.png")
    make(tmp_path / "data", "cats/")
    (tmp_path / "data" / "cats" / "link.png").symlink_to(tmp_path / "pool" / "1.png")
    (tmp_path / "data" / "dogs").symlink_to(tmp_path / "pool" / "dogs")
    assert list_images(tmp_path / "data").files == ("cats/link.png", "dogs/1.png")


@pytest.mark.parametrize("target", [".", "..", "../..", "../dogs"])
def test_a_link_to_a_folder_around_it(target: str, tmp_path: Path) -> None:
    make(tmp_path / "data", *PETS)
    (tmp_path / "data" / "cats" / "link").symlink_to(target)
    (tmp_path / "data" / "dogs" / "back").symlink_to("../cats")
    with pytest.raises(WellfitError, match=r"(link|back|data) leads back to a folder around it; remove the link"):
        list_images(tmp_path / "data")


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, *PETS)
    scandir = os.scandir

    def refuse(path: str) -> object:  # chmod does not hold root back
        if str(path).endswith("dogs"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(WellfitError, match="dogs cannot be listed: Permission denied; make it readable, or remove it"):
        list_images(tmp_path)


def test_it_opens_no_file(tmp_path: Path) -> None:
    make(tmp_path, *PETS)
    os.mkfifo(tmp_path / "cats" / "pipe.png")
    assert list_images(tmp_path).files == ("cats/1.png", "cats/2.png", "cats/pipe.png", "dogs/1.png")
