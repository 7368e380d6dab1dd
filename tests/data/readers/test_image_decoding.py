import re
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wellfit.data.readers import image_decoding as module
from wellfit.data.readers.images import read_image_folder

from .pictures import noise, write


@pytest.mark.parametrize("workers", [2, 7, None])
def test_any_number_of_workers_gives_the_same(
    workers: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILES_AT_ONCE", 3)
    for i in range(40):
        write(tmp_path, **{f"{'abc'[i % 3]}__{i}": noise(5 + i % 4, 9, *(() if i % 5 else (2,)))})
    one, many = (read_image_folder(tmp_path, (7, 7), "auto", workers=n) for n in (1, workers))
    for field in ("x", "y", "ids"):
        np.testing.assert_array_equal(getattr(one, field), getattr(many, field))
    assert one.warnings
    assert (one.warnings, one.class_names, one.splits) == (many.warnings, many.class_names, many.splits)


def test_the_files_are_shared_out_to_the_workers(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_AT_ONCE", 3)
    both_at_work, decode = threading.Barrier(2, timeout=20), module.decode
    met = set()

    def meet(path: Path, *rest: Any, **options: Any) -> Any:
        if path.stem == "0":  # the first file of either task
            both_at_work.wait()  # breaks, and fails the test, where one worker does all
            met.add(threading.get_ident())
        return decode(path, *rest, **options)

    monkeypatch.setattr(module, "decode", meet)
    read_image_folder(pets, (4, 4), "rgb", workers=2)
    assert len(met) == 2


def cut_exif(path: Path) -> None:
    """An orientation whose value lies behind the end of the EXIF data, of which Pillow warns."""
    entry = b"\x12\x01\x02\x00\xff\x00\x00\x00\x1a\x00\x00\x00"  # tag 0x0112 as text of 255 bytes at 26
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_pillow_warns_of_is_told_once_and_not_printed(
    workers: int, pets: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILES_AT_ONCE", 1)
    for file in ("cats/1.png", "dogs/2.png"):
        cut_exif(pets / file)
    with warnings.catch_warnings(record=True) as leaked:
        shown = warnings.showwarning
        read = read_image_folder(pets, None, "auto", workers)
        assert warnings.showwarning is shown
    assert leaked == []
    (sentence,) = read.warnings
    assert re.fullmatch(r"cats/1\.png makes Pillow warn: Tag data larger than file.* \(1 more like it\)", sentence)
    assert "larger" not in "".join(capsys.readouterr())


def test_progress_without_a_terminal_is_lines(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_image_folder(pets, None, "auto")
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines()] == ["read image 1/6", "read image 6/6"]
    assert err == ""


def test_an_interrupt_does_not_wait_for_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, **{f"{name}__{i}": noise(2, 2) for name in "ab" for i in range(20)})
    monkeypatch.setattr(module, "FILES_AT_ONCE", 1)
    shown, go_on = [], threading.Event()
    decode = module.decode

    def slow(path: Path, *rest: Any, **options: Any) -> Any:
        if shown:
            go_on.wait(20)
        shown.append(path)
        return decode(path, *rest, **options)

    def interrupt(*_: Any) -> None:
        threading.Timer(0.2, go_on.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "decode", slow)
    monkeypatch.setattr(module.Progress, "show", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_image_folder(tmp_path, (2, 2), "grey", workers=1)
    assert len(shown) < 5
