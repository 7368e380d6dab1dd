"""Files written as Python 2 and numpy 1 wrote them, and files that a pickle machine would be harmed by."""

import os
import pickle
import random
import struct
import time
import tracemalloc
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from wellfit.data.cifar import META, TEST_BATCH, TRAIN_BATCHES, read_cifar10
from wellfit.errors import WellfitError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Protocol 2 as cPickle of Python 2 wrote it: texts are byte strings, and arrays bear numpy 1's names."""

    dispatch = pickle._Pickler.dispatch.copy()  # type: ignore[attr-defined]

    def __init__(self, stream: Any) -> None:
        super().__init__(stream, protocol=2)

    def save_text(self, text: str) -> None:
        body = text.encode("latin-1")
        short = len(body) < 256
        self.write(b"U" + bytes([len(body)]) + body if short else b"T" + struct.pack("<i", len(body)) + body)
        self.memoize(text)

    def save_array(self, array: np.ndarray) -> None:
        self.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R")
        self.memoize(array)
        self.write(b"(K\x01")
        self.save(array.shape)
        self.write(b"cnumpy\ndtype\nU\x02" + array.dtype.str[1:].encode() + b"K\x00K\x01\x87R")
        self.write(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        self.save(array.tobytes().decode("latin-1"))
        self.write(b"tb")

    dispatch[str] = save_text
    dispatch[np.ndarray] = save_array


def write(path: Path, tree: Any) -> None:
    with path.open("wb") as stream:
        Python2Pickler(stream).dump(tree)


def batch(seed: int, n_rows: int = 7) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "batch_label": f"batch {seed} of 5",
        "labels": rng.integers(0, 10, n_rows).tolist(),
        "data": rng.integers(0, 256, (n_rows, 3072), dtype=np.uint8),
        "filenames": [f"leptodactylus_pentadactylus_s_{row:06}.png" for row in range(n_rows)],
    }


META_TREE = {"num_cases_per_batch": 10000, "label_names": NAMES, "num_vis": 3072}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The seven files, with 7 rows in a batch instead of 10,000."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for seed, name in enumerate((*TRAIN_BATCHES, TEST_BATCH)):
        write(folder / name, batch(seed))
    write(folder / META, META_TREE)
    return folder


def test_the_form_is_that_of_the_publisher(folder: Path) -> None:
    assert (folder / META).stat().st_size == 158, "as published"
    assert (folder / TRAIN_BATCHES[0]).read_bytes().startswith(b"\x80\x02}q")


def test_images_and_labels_are_those_of_torchvision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy on the names of numpy 1, which torchvision's unpickling imports
        train, test = (CIFAR10(str(folder.parent), train=part) for part in (True, False))
    images, labels, class_names, first_test_row = read_cifar10(folder)
    theirs = np.concatenate([train.data, test.data]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(images, theirs)
    np.testing.assert_array_equal(labels, train.targets + test.targets)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    assert images.shape == (42, 3, 32, 32)
    assert first_test_row == 35
    assert list(class_names) == train.classes == NAMES


def test_a_batch_of_a_fifth_of_the_published_size_is_read_in_a_moment(folder: Path) -> None:
    write(folder / TEST_BATCH, batch(5, 2_000))
    start = time.monotonic()
    images, *_ = read_cifar10(folder)
    assert time.monotonic() - start < 1
    np.testing.assert_array_equal(images[35:].reshape(2_000, -1), batch(5, 2_000)["data"])


def test_lists_and_dicts_of_one_are_read(folder: Path) -> None:
    write(folder / META, {"label_names": ["only"]})
    for name in (*TRAIN_BATCHES, TEST_BATCH):
        write(folder / name, {"labels": [0], "data": np.zeros((1, 3072), np.uint8)})
    images, labels, class_names, first_test_row = read_cifar10(folder)
    assert (len(images), labels.tolist(), class_names, first_test_row) == (6, [0] * 6, ("only",), 5)


@pytest.fixture
def refused(folder: Path) -> Callable[..., str]:
    """Puts a file in the place of a batch and returns the one line that is said of it."""

    def run(content: bytes, name: str = TEST_BATCH) -> str:
        (folder / name).write_bytes(content)
        with pytest.raises(WellfitError) as raised:
            read_cifar10(folder)
        message = str(raised.value)
        assert message.startswith(f"{folder / name} is damaged: ")
        assert message.endswith("`dvc repro --force fetch` gets it anew")
        assert "\n" not in message
        assert len(message) < 400
        return message

    return run


class Harm:
    """Pickled, it is a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears when anything of what the hostile files ask for is done."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "trap"


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("wrapping", [lambda x: x, lambda x: {"labels": [x]}, lambda x: {"data": (x, [{"a": x}])}])
@pytest.mark.parametrize(
    "harm",
    [
        Harm(os.system, "mkdir trap"),
        Harm(eval, "__import__('os').mkdir('trap')"),
        Harm(exec, "import os; os.mkdir('trap')"),
        Harm(np.save, "trap", 1),
        Harm(pickle.loads, pickle.dumps(Harm(os.mkdir, "trap"))),
    ],
)
def test_nothing_is_called(
    harm: Harm, wrapping: Callable[[Any], Any], protocol: int, trap: Path, refused: Callable[..., str]
) -> None:
    content = pickle.dumps(wrapping(harm), protocol)
    refused(content)
    assert list(trap.parent.glob("trap*")) == []
    pickle.loads(content)
    assert list(trap.parent.glob("trap*")), "a pickle machine does fall into it"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        # names that the files may use, for something else
        (b"\x80\x02cnumpy\ndtype\n(U\x02u1K\x00K\x01tR.", "must hold a dict, got _Made"),
        (b"\x80\x02cos\nsystem\n(U\x0atouch traptR.", "os system called"),
        (b"\x80\x02cnumpy.core.multiarray\n_reconstruct system\n(tR.", "_reconstruct system called"),
        (b"\x80\x02U\x04evil)R.", "a str called"),
        # instructions that import, call or remember in other ways
        (b"(S'touch trap'\nios\nsystem\n.", "instruction STRING"),
        (b"\x80\x02(ios\nsystem\n.", "instruction INST"),
        (b"\x80\x02(cos\nsystem\no.", "instruction OBJ"),
        (b"\x80\x02cos\nsystem\n)\x81.", "instruction NEWOBJ"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "instruction SHORT_BINUNICODE"),
        (b"\x80\x02\x82\x01.", "instruction EXT1"),
        (b"\x80\x02U\x01aQ.", "instruction BINPERSID"),
        (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
        (b"\x80\x02}}b.", "only an array and its type have a state, got dict"),
        # lengths that are not there
        (b"\x80\x02T\xff\xff\xff\x7f.", "expected 2147483647 bytes"),
        (b"\x80\x02T\xff\xff\xff\xff.", "byte count < 0"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", "9223372036854775807"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f1.", "not enough data"),
        (b"\x80\x02Nr\xff\xff\xff\xffh\x00.", "KeyError: 0"),
        # what does not fit together
        (b"", "pickle exhausted before seeing STOP"),
        (b"\x80\x02", "pickle exhausted before seeing STOP"),
        (b"no pickle", "at position 0, opcode"),
        (b"\x80\x02.", "not enough values to unpack"),
        (b"\x80\x02}}.", "too many values to unpack"),
        (b"\x80\x02q\x00.", "IndexError"),
        (b"\x80\x02t.", "IndexError: pop from empty list"),
        (b"\x80\x02K\x01\x86.", "2 values are wanted where there are fewer"),
        (b"\x80\x02(K\x01\x86.", "2 values are wanted where there are fewer"),
        (b"\x80\x02}(K\x01e.", "only a list is extended, got dict"),
        (b"\x80\x02}(U\x01au.", "only a dict is updated, with pairs"),
        (b"\x80\x02}]K\x01s.", "only a dict is updated, with pairs of a text"),
        (b"\x80\x02]U\x01aK\x01s.", "only a dict is updated"),
        (b"\x80\x02].", "must hold a dict, got list"),
    ],
)
def test_a_hostile_or_damaged_file_is_one_line(
    content: bytes, fault: str, trap: Path, refused: Callable[..., str]
) -> None:
    assert fault in refused(content)
    assert not trap.exists()


def test_a_file_nested_many_times_is_one_line(refused: Callable[..., str]) -> None:
    deep = b"\x80\x02)" + b"\x85" * 50_000
    assert "must hold a dict, got tuple" in refused(deep + b".")
    assert "a tuple called" in refused(deep + b")R.")
    assert "pairs of a text" in refused(b"\x80\x02}" + deep[2:] + b"Ns.")
    nested_calls = b"\x80\x02" + b"cnumpy\ndtype\n" * 20_000 + b")" + b"\x85R" * 20_000 + b"."
    assert "must hold a dict, got _Made" in refused(nested_calls)
    assert "labels must be a list" in refused(b"\x80\x02}U\x06labels]q\x00h\x00as."), "a list in itself"


def test_a_huge_file_is_not_read_to_its_end(folder: Path, refused: Callable[..., str]) -> None:
    with (folder / TEST_BATCH).open("wb") as stream:
        stream.truncate(1 << 40)
    tracemalloc.start()
    with pytest.raises(WellfitError, match="more than 33554432 bytes"):
        read_cifar10(folder)
    assert tracemalloc.get_traced_memory()[1] < 3 * 33554432
    tracemalloc.stop()


def test_every_cut_and_flipped_byte_is_one_line_or_another_value(folder: Path) -> None:
    whole, rng = (folder / TEST_BATCH).read_bytes(), random.Random(0)
    framing = [place for place in range(len(whole)) if place < 400 or place > len(whole) - 400]
    for place in rng.choices(framing, k=300):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        for content in (whole[:place], bytes(damaged)):
            (folder / TEST_BATCH).write_bytes(content)
            with suppress(WellfitError):
                images, labels, *_ = read_cifar10(folder)
                assert images.shape == (len(labels), 3, 32, 32)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"labels": [0] * 6}, "data must be an array of unsigned bytes of shape (6, 3072)"),
        ({"labels": [10] * 7}, "labels must be a list of whole numbers from 0 to 9"),
        ({"labels": [-1] * 7}, "labels must be a list"),
        ({"labels": [True] * 7}, "labels must be a list"),
        ({"labels": "0123456"}, "labels must be a list"),
        ({"labels": None}, "labels must be a list"),
        ({"data": np.zeros((7, 3072), np.int8)}, "data must be an array of unsigned bytes of shape (7, 3072)"),
        ({"data": np.zeros((7, 3071), np.uint8)}, "data must be an array"),
        ({"data": np.zeros((3072, 7), np.uint8)}, "data must be an array"),
        ({"data": np.zeros(7 * 3072, np.uint8)}, "data must be an array"),
        ({"data": "bytes"}, "data must be an array"),
        ({"data": None}, "data must be an array"),
    ],
)
def test_a_batch_with_other_content(changes: dict[str, Any], fault: str, folder: Path) -> None:
    write(folder / TEST_BATCH, {**batch(5), **changes})
    with pytest.raises(WellfitError) as raised:
        read_cifar10(folder)
    assert f"{folder / TEST_BATCH} is damaged: {fault}" in str(raised.value)


def test_an_array_in_another_order_is_refused(folder: Path) -> None:
    content = (folder / TEST_BATCH).read_bytes()
    assert content.count(b"tb\x89T") == 1
    (folder / TEST_BATCH).write_bytes(content.replace(b"tb\x89T", b"tb\x88T"))
    with pytest.raises(WellfitError, match="data must be an array"):
        read_cifar10(folder)


@pytest.mark.parametrize("names", [None, [], "texts", [1, 2]])
def test_names_that_are_none(names: Any, folder: Path) -> None:
    write(folder / META, {"label_names": names})
    with pytest.raises(WellfitError, match="label_names must be a list of texts"):
        read_cifar10(folder)


@pytest.mark.parametrize("name", [TRAIN_BATCHES[3], TEST_BATCH, META])
def test_a_missing_file(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(WellfitError, match=f"{name} not found; `dvc repro fetch` makes it"):
        read_cifar10(folder)
