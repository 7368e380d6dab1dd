import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from wellfit.data.readers.image_files import ImageFiles
from wellfit.data.readers.image_labels import list_labelled
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

ONE_TO_FOUR = ("1.png", "2.png", "3.jpg", "4.png")
Read = Callable[..., ImageFiles]


@pytest.fixture
def read(data_config: Callable[..., DataConfig], tmp_path: Path) -> Read:
    """Reads a folder of empty images and a table of their classes: nothing here opens an image."""

    def read(table: str, *files: str, name: str = "labels.csv", **settings: object) -> ImageFiles:
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        (tmp_path / name).write_text(table)
        return list_labelled(tmp_path, data_config("images", path=str(tmp_path), labels=name, **settings))

    return read


def classes(found: ImageFiles) -> dict[str, str]:
    return {file: found.class_names[label] for file, label in zip(found.files, found.labels, strict=True)}


@pytest.mark.parametrize(
    ("table", "target"),
    [
        ("file,label\n1.png,x\n2.png,y\n3.jpg,x\n4.png,y\n", "label"),
        ("id,breed\n1,x\n2,y\n3,x\n4,y\n", "breed"),
        ("breed,id\nx,1\ny,2\nx,3\ny,4\n", "breed"),
        ("Image,Id\n4.JPG,y\n3.png,x\n2,y\n./1.png,x\n", "Id"),
        ("path,name,class\ndata/in/1.png,1,x\ndata/in/2.png,2,y\nin/3.jpg,3,x\n\\\\in\\4.png,4,y\n", "class"),
        ("filename,width,height,class\n1.png,9,9,x\n2.png,8,9,y\n3.jpg,9,8,x\n4.png,8,8,y\n", "class"),
        ("image,class_id,class_name\n1,0,x\n2,1,y\n3,0,x\n4,1,y\n", "class_name"),
        ("image,x,y\n1,1,0\n2,0,1\n3,1.0,0.0\n4,0,1\n", "class"),
        (",file,label\n2,1.png,x\n1,2.png,y\n4,3.jpg,x\n3,4.png,y\n", "label"),
        ("1.png,x\n2.png,y\n3.jpg,x\n4.png,y\n", "column 2"),
    ],
)
def test_columns_are_found_by_what_they_hold(table: str, target: str, read: Read) -> None:
    found = read(table, *ONE_TO_FOUR)
    assert classes(found) == {"1.png": "x", "2.png": "y", "3.jpg": "x", "4.png": "y"}
    assert (found.target_name, found.splits, found.unlabelled, found.warnings) == (target, None, (), ())


def test_the_table_is_read_as_other_tables_are(read: Read) -> None:
    found = read("file;label\n1;x\n2;y\n3;x\n4;y\n", *ONE_TO_FOUR)
    assert found.class_names == ("x", "y")
    (sentence,) = found.warnings
    assert sentence.endswith("labels.csv: read with data.separator semicolon, which its header and rows have")


def test_columns_that_are_named(read: Read) -> None:
    table = "a,left,right,b\nx,1,2,p\ny,2,3,q\ny,3,4,q\nx,4,1,p\n"
    with pytest.raises(WellfitError, match=r"columns 'left' and 'right' both name images; set data\.id to one"):
        read(table, *ONE_TO_FOUR)
    found = read(table, *ONE_TO_FOUR, id="right", target="b")
    assert classes(found) == {"2.png": "p", "3.jpg": "q", "4.png": "q", "1.png": "p"}
    assert found.target_name == "b"


def test_several_columns_that_may_be_the_classes(read: Read) -> None:
    table = "image,dx,sex\n1,x,f\n2,y,f\n3,x,m\n4,y,m\n"
    with pytest.raises(WellfitError, match=r"set data\.target to the column that has the classes, one of 'dx', 'sex'"):
        read(table, *ONE_TO_FOUR)
    assert read(table, target="sex").class_names == ("f", "m")


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("file,label\n1,x\n2,y\n3,x\n7,y\n8,x\n9,y\n10,x\n", "no column names the images, which are called as 1.png"),
        ("file,label\n1,x\n2,y\n1,y\n", "row 4: '1' is 'y', but 'x' in an earlier row; an image has one class"),
        ("file,label\n1,x\n2,x\n", "column 'label' has one class only"),
        ("file,age\n1,1.5\n2,2.5\n3,4\n", "column 'age' has 3 different values for 3 images, too many for classes"),
        ("file\n1\n2\n", "set data.target to the column that has the classes, as only 'file' is there"),
        ("file,label\n1,x\n2,y\nsame,y\n", "row 4: 'same' names 2 images, a/same.png and b/same.png; write their"),
    ],
)
def test_a_table_that_will_not_do_is_one_line(table: str, fault: str, read: Read, tmp_path: Path) -> None:
    with pytest.raises(WellfitError) as raised:
        read(table, *ONE_TO_FOUR, "a/same.png", "b/same.png")
    assert fault in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "labels.csv"))
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(("key", "value"), [("target", "lable"), ("id", "lable")])
def test_a_column_that_is_not_there(key: str, value: str, read: Read) -> None:
    with pytest.raises(WellfitError, match=f"data.{key}: .* has no column 'lable'; did you mean 'label'"):
        read("file,label\n1,x\n2,y\n", *ONE_TO_FOUR, **{key: value})


def test_rows_without_an_image_and_images_without_a_row_are_counted(read: Read) -> None:
    found = read("file,label\n1,x\n5,x\n2,y\n3,?\n", *ONE_TO_FOUR)
    assert classes(found) == {"1.png": "x", "2.png": "y"}
    assert found.unlabelled == ("3.jpg", "4.png")
    assert found.warnings == (
        "1 of 4 rows of labels.csv name no image in the folder, the first is row 3 ('5'); they are left out",
        "images without a class in labels.csv: 2, the first is 3.jpg; they are predicted, not scored",
    )


def test_a_test_folder_without_labels_is_to_be_predicted(read: Read) -> None:
    files = [f"{split}/{file}" for split in ("test", "train") for file in ONE_TO_FOUR]
    found = read("id,breed\n1,x\n2,y\n3,x\n4,y\n", *files)
    assert found.files == tuple(sorted(files)[4:])
    assert found.unlabelled == tuple(sorted(files)[:4])
    assert found.splits is None


def test_folders_of_splits_are_those_of_the_images(read: Read) -> None:
    found = read(
        "file,y\ntrain/1,a\ntrain/2,b\ntest/1,b\ntest/2,a\n",
        *(f"{s}/{i}.png" for s in ("train", "test") for i in (1, 2)),
    )
    assert found.files == ("test/1.png", "test/2.png", "train/1.png", "train/2.png")
    assert found.labels.tolist() == [1, 0, 0, 1]
    assert found.splits is not None
    assert found.splits.tolist() == ["test", "test", "train", "train"]


def test_a_column_of_splits_is_that_of_the_images(read: Read) -> None:
    table = "file,label,subset\n1,a,Training\n2,b,training\n3,a,validation\n4,b,test_set\n"
    found = read(table, *ONE_TO_FOUR)
    assert found.target_name == "label"
    assert found.splits is not None
    assert found.splits.tolist() == ["train", "train", "val", "test"]
    assert found.warnings == ("column 'subset' of labels.csv says which split an image is in",)


def test_accents_of_macos_and_of_others_are_one_name(read: Read) -> None:
    composed, decomposed = "caf\xe9", "cafe\u0301"
    found = read(
        f"f,y\n{composed},{decomposed}\ntea,{composed}\nmilk,milk\n", f"{decomposed}.png", "tea.png", "milk.png"
    )
    assert classes(found) == {f"{decomposed}.png": composed, "tea.png": composed, "milk.png": "milk"}
    assert unicodedata.is_normalized("NFC", "".join(found.class_names))


def test_classes_that_differ_in_case_are_told(read: Read) -> None:
    (sentence,) = read("f,y\n1,Cat\n2,cat\n3,Cat\n4,cat\n", *ONE_TO_FOUR).warnings
    assert sentence == "classes 'Cat' and 'cat' differ in upper and lower case only"


def test_numbers_of_classes_are_in_their_order(read: Read) -> None:
    assert read("f,y\n1,10\n2,2\n3,1\n4,2\n5,1\n6,10\n", *ONE_TO_FOUR, "5.png", "6.png").class_names == ("1", "2", "10")


def test_where_the_table_may_be(read: Read, data_config: Callable[..., DataConfig], tmp_path: Path) -> None:
    read("f,y\nimages/1,x\nimages/2,y\n", "images/1.png", "images/2.png")
    inner = tmp_path / "images"
    beside = list_labelled(inner, data_config("images", path=str(inner), labels="labels.csv"))
    assert beside.class_names == ("x", "y")
    (sentence,) = beside.warnings
    assert sentence.startswith(
        f"{tmp_path}/labels.csv lies outside of data.path, where DVC does not see that it change"
    )
    with pytest.raises(WellfitError, match=r"data\.labels none\.csv is neither in .*images, nor beside it, nor at the"):
        list_labelled(inner, data_config("images", path=str(inner), labels="none.csv"))
