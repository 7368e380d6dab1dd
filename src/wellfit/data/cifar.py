"""CIFAR-10 as its authors publish it: Python 2 pickles, read without a pickle machine.

`pickle` runs whatever a file asks for, so no file is given to it. `pickletools.genops` only splits a file into its
instructions, and the few that these files need are carried out here, on Python's own numbers, texts, lists, tuples and
dicts. Nothing that a file names is imported or called: a name is kept as text, and what it would have made of its
arguments stays a description (`_Made`).
"""

import io
import math
import pickletools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.errors import WellfitError

TRAIN_BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
TEST_BATCH = "test_batch"
META = "batches.meta"
PIXELS = (3, 32, 32)
MOST_BYTES = 32 << 20  # a published batch has 31 million
PUSHED = {"BININT", "BININT1", "BININT2", "SHORT_BINSTRING", "BINSTRING"}  # the argument itself
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
ARRAY, DTYPE = "numpy.core.multiarray _reconstruct", "numpy dtype"
_MARK = object()


class Cifar10(NamedTuple):
    """The whole data set.

    Attributes:
        images: uint8 (n, 3, 32, 32), red, green and blue; the train batches, then the test batch (60,000 as published).
        labels: int64 (n,) class indices.
        class_names: by class index.
        first_test_row: how many rows the train batches have (50,000 as published).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    first_test_row: int


def read_cifar10(folder: Path) -> Cifar10:
    """Reads the seven files that `wellfit.data.fetch.fetch` has written; their digests are the caller's to check.

    Args:
        folder: that holds ``data_batch_1`` to ``data_batch_5``, ``test_batch`` and ``batches.meta``.

    Raises:
        WellfitError: a file is missing, or is not, to the letter, of the form that the authors publish.
    """
    class_names = _class_names(folder / META)
    batches = [_read_batch(folder / name, len(class_names)) for name in (*TRAIN_BATCHES, TEST_BATCH)]
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return Cifar10(images, labels, class_names, first_test_row=len(labels) - len(batches[-1][1]))


def _class_names(path: Path) -> tuple[str, ...]:
    names = _read_dict(path).get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise _damaged(path, "label_names must be a list of texts")
    return tuple(names)


def _read_batch(path: Path, n_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batch = _read_dict(path)
    labels = batch.get("labels")
    if not isinstance(labels, list) or any(type(label) is not int or not 0 <= label < n_classes for label in labels):
        raise _damaged(path, f"labels must be a list of whole numbers from 0 to {n_classes - 1}")
    shape = (len(labels), math.prod(PIXELS))
    pixels = _bytes_of_array(batch.get("data"), shape)
    if pixels is None:
        raise _damaged(path, f"data must be an array of unsigned bytes of shape {shape}")
    return np.frombuffer(pixels, dtype=np.uint8).reshape(-1, *PIXELS), np.array(labels, dtype=np.int64)


def _bytes_of_array(value: Any, shape: tuple[int, int]) -> bytes | None:
    """The content of what numpy 1 wrote for a uint8 array in C order; None if it is anything else."""
    if not isinstance(value, _Made) or value.maker != ARRAY:
        return None
    match value.state:
        case (1, stated, _Made(maker=maker, arguments=("u1", 0, 1)), False, str(content)):
            fits = maker == DTYPE and stated == shape and len(content) == math.prod(shape)
            return content.encode("latin-1") if fits else None
    return None


class _Made:
    """What a name of a module would have made of its arguments, and the state it would then have been given."""

    def __init__(self, maker: str, arguments: Any) -> None:
        self.maker, self.arguments = maker, arguments
        self.state: Any = None


class _Name:
    """A module and a name in it, which nothing looks up."""

    def __init__(self, text: str) -> None:
        self.text = text


def _read_dict(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise WellfitError(f"{path} not found; `dvc repro fetch` makes it") from None
    if len(content) > MOST_BYTES:
        raise _damaged(path, f"it has more than {MOST_BYTES} bytes")
    try:
        tree = _interpret(content)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        # pickletools, an empty stack, a number that nothing was remembered under, or a value of another type
        raise _damaged(path, f"{type(error).__name__}: {error}") from None
    if not isinstance(tree, dict):
        raise _damaged(path, f"it must hold a dict, got {type(tree).__name__}")
    return tree


def _interpret(content: bytes) -> Any:
    """Carries out the instructions of a pickle that holds numbers, texts, lists, dicts with texts as keys and arrays.

    Texts are those of Python 2, one character a byte, as with ``pickle.load(..., encoding="latin1")``.

    Raises:
        ValueError: an instruction is not one of the few that this needs, or makes something else.
        IndexError, KeyError, TypeError: instructions that do not fit together.
    """
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(io.BytesIO(content)):
        match opcode.name:
            case "PROTO":
                pass
            case name if name in PUSHED:
                stack.append(argument)
            case name if name in CONSTANTS:
                stack.append(CONSTANTS[name])
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                stack.append(_MARK)
            case "BINPUT" | "LONG_BINPUT":
                memory[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memory[argument])
            case name if name in SHORT_TUPLES:
                stack.append(tuple(_pop(stack, SHORT_TUPLES[name])))
            case "TUPLE":
                stack.append(tuple(_pop_to_mark(stack)))
            case "APPEND":
                _extend(stack[-2], _pop(stack, 1))
            case "APPENDS":
                items = _pop_to_mark(stack)
                _extend(stack[-1], items)
            case "SETITEM":
                _update(stack[-3], _pop(stack, 2))
            case "SETITEMS":
                items = _pop_to_mark(stack)
                _update(stack[-1], items)
            case "GLOBAL":
                stack.append(_Name(argument))
            case "REDUCE":
                maker, arguments = _pop(stack, 2)
                stack.append(_make(maker, arguments))
            case "BUILD":
                _give_state(stack[-2], _pop(stack, 1)[0])
            case "STOP":
                (result,) = stack
                return result
            case name:
                raise ValueError(f"instruction {name} has no place in it")
    raise ValueError("it ends too early")


def _pop(stack: list[Any], n_items: int) -> list[Any]:
    items = stack[-n_items:]
    if len(items) < n_items or any(item is _MARK for item in items):
        raise ValueError(f"{n_items} values are wanted where there are fewer")
    del stack[-n_items:]
    return items


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _extend(target: Any, items: list[Any]) -> None:
    if not isinstance(target, list):
        raise TypeError(f"only a list is extended, got {type(target).__name__}")
    target += items


def _update(target: Any, items: list[Any]) -> None:
    keys, values = items[::2], items[1::2]
    if not isinstance(target, dict) or len(keys) != len(values) or any(type(key) is not str for key in keys):
        raise TypeError("only a dict is updated, with pairs of a text and a value")
    target.update(zip(keys, values, strict=True))


def _make(maker: Any, arguments: Any) -> _Made:
    if not isinstance(maker, _Name) or maker.text not in (ARRAY, DTYPE):
        name = maker.text if isinstance(maker, _Name) else f"a {type(maker).__name__}"
        raise ValueError(f"it would have {name:.60} called, and only arrays have a place in it")
    return _Made(maker.text, arguments)


def _give_state(target: Any, state: Any) -> None:
    if not isinstance(target, _Made):
        raise TypeError(f"only an array and its type have a state, got {type(target).__name__}")
    target.state = state


def _damaged(path: Path, fault: str) -> WellfitError:
    return WellfitError(f"{path} is damaged: {' '.join(fault.split())}; `dvc repro --force fetch` gets it anew")
