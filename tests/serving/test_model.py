"""The trained model: parity with the network itself, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread, current_thread

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from torch import nn

from wellfit.data.meta import Meta
from wellfit.data.store import load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.models import build_model
from wellfit.models.inputs import Inputs
from wellfit.models.kept import Kept
from wellfit.serving.model import load_model
from wellfit.settings.params import Params
from wellfit.training.checkpoint import save_checkpoint, save_checkpoints
from wellfit.training.record import resolved_config

Make = Callable[..., Params]
Processed = Callable[..., Path]


def leave_network(models: Path, params: Params, meta: Meta, width: int) -> nn.Module:
    """Saves an untrained network as ``train`` does, with its inputs in front of it."""
    inputs = Inputs(meta, params.model.numeric, torch.device("cpu"))
    network = build_model(params.model, inputs.shape, width, inputs.columns).eval()
    info = {"config": resolved_config(params), "data_sha256": meta.sha256, "epoch": 1, "metrics": {}}
    save_checkpoint(models / "best.safetensors", network.state_dict(), info)
    save_checkpoints(models / "ensemble.safetensors", [])

    class WithInputs(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = network(inputs(rows))
            return outputs

    return WithInputs()


@torch.inference_mode()
def outputs_of(network: nn.Module, rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = network(torch.tensor(np.array(rows))).double().numpy()
    return found


@pytest.mark.parametrize("kind", ["table", "images"])
def test_classes_get_the_softmax_of_the_logits(
    make_params: Make, processed: Processed, tmp_path: Path, kind: str
) -> None:
    data = processed(kind)
    meta = load_meta(data)
    rows = load_split(data, meta, "test").x
    logits = outputs_of(leave_network(tmp_path, make_params(kind), meta, width=3), rows)
    model = load_model(tmp_path, meta).model
    np.testing.assert_array_equal(model.outputs(rows), logits)
    np.testing.assert_array_equal(model.predict(rows), softmax(logits, axis=1))


def test_a_single_logit_is_that_of_the_second_class(make_params: Make, processed: Processed, tmp_path: Path) -> None:
    data = processed()
    meta = load_meta(data).model_copy(update={"class_names": ("no", "yes")})
    rows = load_split(data, meta, "test").x
    params = make_params("table", "data.name=breast_cancer", "loss.name=bce")
    logit = outputs_of(leave_network(tmp_path, params, meta, width=1), rows)
    found = load_model(tmp_path, meta).model.predict(rows)
    np.testing.assert_allclose(found, np.hstack([expit(-logit), expit(logit)]), rtol=1e-12)


def test_numbers_are_in_the_targets_unit(make_params: Make, processed: Processed, tmp_path: Path) -> None:
    data = processed("regression")
    meta = load_meta(data)
    rows = load_split(data, meta, "test").x
    standardized = outputs_of(leave_network(tmp_path, make_params("regression"), meta, width=1), rows)[:, 0]
    model = load_model(tmp_path, meta).model
    np.testing.assert_array_equal(model.outputs(rows), standardized)
    y = load_split(data, meta, "train").y
    np.testing.assert_allclose(model.predict(rows), standardized * np.std(y) + np.mean(y), rtol=1e-5)


def test_outputs_of_chunks_do_not_split_the_memory_of_the_next_ones(
    make_params: Make, processed: Processed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wellfit.models.predict.CHUNK_BYTES", 4 * 4 * 5)  # 5 rows of 4 numbers
    folder = processed("table")
    meta = load_meta(folder)
    network = leave_network(tmp_path, make_params("table"), meta, 3)
    copies: list[torch.Tensor] = []
    copy_of = Kept.copy_of
    monkeypatch.setattr(Kept, "copy_of", lambda self, x: (copies.append(copy_of(self, x)), copies[-1])[1])
    rows = load_split(folder, meta, "val").x
    outputs = load_model(tmp_path, meta).model.outputs(rows)
    assert [len(each) for each in copies] == [5] * 4
    assert len({each.untyped_storage().data_ptr() for each in copies}) == 1
    np.testing.assert_allclose(outputs, outputs_of(network, rows), rtol=1e-6)


def test_a_model_of_other_data_is_refused(make_params: Make, processed: Processed, tmp_path: Path) -> None:
    leave_network(tmp_path, make_params(), load_meta(processed()), width=3)
    with pytest.raises(WellfitError, match=r"best\.safetensors was trained on other data \(wine\) than data/.*/wine:"):
        load_model(tmp_path, load_meta(processed(seed=1)))


def test_threads_that_predict_at_once_do_not_disturb_each_other(
    make_params: Make, processed: Processed, tmp_path: Path
) -> None:
    data = processed("table")
    meta = load_meta(data)
    row = load_split(data, meta, "test").x[:1]
    params = make_params("table", "model.norm=batch", "model.dropout=0.5")  # both differ in training
    leave_network(tmp_path, params, meta, width=3)
    model = load_model(tmp_path, meta).model
    expected = model.outputs(row)
    computes, another = Event(), Event()
    first = Thread(target=model.outputs, args=[row])

    def meet(*_: object) -> None:
        if current_thread() is first:
            computes.set()
            another.wait(10)
        else:
            another.set()
            first.join()  # ends while this one computes

    ((network, _),) = model.networks
    network.register_forward_pre_hook(meet)
    first.start()
    computes.wait(10)
    np.testing.assert_array_equal(model.outputs(row), expected)


@pytest.mark.parametrize("kind", ["table", "images"])
def test_rows_meet_the_networks_on_their_device(
    make_params: Make, processed: Processed, tmp_path: Path, kind: str
) -> None:
    data = processed(kind)
    meta = load_meta(data)
    leave_network(tmp_path, make_params(kind), meta, width=3)
    model = load_model(tmp_path, meta, torch.device("meta")).model
    # All that a device without contents refuses is to give the outputs back.
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        model.outputs(load_split(data, meta, "test").x)
