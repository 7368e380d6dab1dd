import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from wellfit.errors import WellfitError
from wellfit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

INFO = {"epoch": 3, "metrics": {"val/loss": 0.1 + 0.2}, "config": {"model": {"hidden": [8], "name": "mlp"}}, "x": None}


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        "1.weight": torch.randn(3, 2, generator=random),
        "2.running_mean": torch.randn(3, generator=random),
        "2.num_batches_tracked": torch.tensor(7 + seed),
        "scale": torch.tensor(0.5),
        "empty": torch.zeros(0, 4),
        "half": torch.randn(2, generator=random).bfloat16(),
        "flags": torch.tensor([True, False]),
    }


def equal(one: Checkpoint, info: Any, tensors: dict[str, torch.Tensor]) -> bool:
    return (
        one.info == info
        and one.weights.keys() == tensors.keys()
        and all(
            one.weights[name].dtype == tensor.dtype and torch.equal(one.weights[name], tensor)
            for name, tensor in tensors.items()
        )
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models" / "best.safetensors"


def damaged(path: Path) -> str:
    with pytest.raises(WellfitError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_is_loaded_is_what_was_saved(path: Path) -> None:
    save_checkpoint(path, weights(), INFO)
    assert equal(load_checkpoint(path), INFO, weights())
    assert os.listdir(path.parent) == [path.name]


def test_tensors_need_not_be_contiguous_or_without_gradient(path: Path) -> None:
    tensor = torch.arange(6.0).view(2, 3).requires_grad_().t()
    save_checkpoint(path, {"w": tensor}, {})
    loaded = load_checkpoint(path).weights["w"]
    assert torch.equal(loaded, tensor.detach())
    assert not loaded.requires_grad


def test_others_can_read_the_file(path: Path) -> None:
    save_checkpoint(path, weights(), INFO)
    assert load_file(path).keys() == weights().keys()


def test_the_same_content_is_the_same_bytes(path: Path) -> None:
    save_checkpoint(path, weights(), INFO)
    first = path.read_bytes()
    save_checkpoint(path, weights(), INFO)
    assert path.read_bytes() == first
    save_checkpoint(path, dict(reversed(weights().items())), dict(reversed(INFO.items())))
    assert path.read_bytes() == first
    save_checkpoint(path, weights(seed=1), INFO)
    assert path.read_bytes() != first


def test_a_flipped_byte_is_noticed_wherever_it_stands(path: Path) -> None:
    save_checkpoint(path, weights(), INFO)
    content = path.read_bytes()
    random = np.random.default_rng(0)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= int(random.integers(1, 256))
        path.write_bytes(changed)
        try:
            loaded = load_checkpoint(path)
        except WellfitError:
            continue
        assert equal(loaded, INFO, weights()), place  # harmless, such as a line break for a space


def test_a_flipped_byte_of_the_weights_is_always_refused(path: Path) -> None:
    save_checkpoint(path, weights(), INFO)
    content = path.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    for place in range(8 + header, len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert "its sha256 does not match" in damaged(path)


def test_a_truncated_file_is_refused_at_any_length(path: Path) -> None:
    save_checkpoint(path, weights(), INFO)
    content = path.read_bytes()
    for length in [0, 1, 7, 8, 9, *range(10, len(content), 23), len(content) - 1]:
        path.write_bytes(content[:length])
        damaged(path)
    path.write_bytes(content + b"\0")
    damaged(path)


@pytest.mark.parametrize("key", ["epoch", "config"])
def test_info_that_was_edited_is_refused(path: Path, key: str) -> None:
    save_checkpoint(path, weights(), INFO)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    wellfit = json.loads(header["__metadata__"]["wellfit"])
    wellfit["info"] = json.dumps(json.loads(wellfit["info"]) | {key: 99}, sort_keys=True)
    header["__metadata__"]["wellfit"] = json.dumps(wellfit)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    assert "its sha256 does not match" in damaged(path)


DEEP = {"wellfit": "[" * 100_000}


@pytest.mark.parametrize(
    "metadata", [None, {"wellfit": "[]"}, {"wellfit": "{}"}, {"wellfit": "{"}, {"other": "1"}, DEEP]
)
def test_a_file_of_another_program_is_refused(path: Path, metadata: dict[str, str] | None) -> None:
    path.parent.mkdir()
    save_file(weights(), path, metadata)
    damaged(path)


@pytest.mark.parametrize("wellfit", [{"info": 1, "sha256": ""}, {"info": None, "sha256": ""}, {"info": "{}"}, 3])
def test_info_of_a_wrong_sort_is_refused(path: Path, wellfit: Any) -> None:
    path.parent.mkdir()
    save_file(weights(), path, {"wellfit": json.dumps(wellfit)})
    damaged(path)


def test_a_missing_file_says_how_to_get_it(path: Path) -> None:
    assert damaged(path) == f"{path} not found: `dvc repro train` makes it"


def refuse(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("broken", ["os.fsync", "pathlib.Path.replace"])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    save_checkpoint(path, weights(), INFO)
    monkeypatch.setattr(broken, refuse)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, weights(seed=1), {})
    monkeypatch.undo()
    assert equal(load_checkpoint(path), INFO, weights())
    assert os.listdir(path.parent) == [path.name]


def test_the_bytes_are_on_the_disk_before_the_name_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_checkpoint(path, weights(), INFO)
    old = path.read_bytes()
    save_checkpoint(tmp_path / "new", weights(seed=1), INFO)
    new = (tmp_path / "new").read_bytes()
    seen = []
    monkeypatch.setattr("os.fsync", lambda _: seen.append({file.read_bytes() for file in path.parent.iterdir()}))
    save_checkpoint(path, weights(seed=1), INFO)
    assert seen == [{old, new}]
    assert path.read_bytes() == new


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_keeps_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(path, weights(), INFO)
    opened = Path.open

    def full(self: Path, mode: str = "r", **options: Any) -> Any:
        return opened(Path("/dev/full") if mode == "wb" else self, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, weights(seed=1), {})
    monkeypatch.undo()
    assert equal(load_checkpoint(path), INFO, weights())


@pytest.mark.parametrize("info", [{"x": float("nan")}, {"x": {"y": float("inf")}}, {"x": object()}])
def test_info_that_json_cannot_hold_is_refused_and_the_old_file_stays(path: Path, info: dict[str, Any]) -> None:
    save_checkpoint(path, weights(), INFO)
    with pytest.raises((ValueError, TypeError)):
        save_checkpoint(path, weights(seed=1), info)
    assert equal(load_checkpoint(path), INFO, weights())
    assert os.listdir(path.parent) == [path.name]


def test_a_copy_elsewhere_is_as_good(path: Path, tmp_path: Path) -> None:
    save_checkpoint(path, weights(), INFO)
    shutil.copy(path, tmp_path / "copy")
    assert equal(load_checkpoint(tmp_path / "copy"), INFO, weights())
