"""The features stage, and the stages behind it on what it leaves. The network is small, and its weights are random."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import wellfit
from wellfit.data.features import features_folder, trained_rows
from wellfit.data.prepare import prepare
from wellfit.data.store import load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.models.pretrained import load_body
from wellfit.serving.export import FORMATS, export_model
from wellfit.settings.params import Params, load_params
from wellfit.stages.evaluate import evaluate
from wellfit.stages.features import features
from wellfit.stages.train import train
from wellfit.stages.tune import tune
from wellfit.training.pack import can_pack
from wellfit.training.setup import begin, load_training_data

from ..serving.own import image_folder
from ..serving.test_export import run_of
from .conftest import PARAMS_FILE

NAME = "test_efficientnet"
SPACE = "tune.space={optim: {lr: {low: 0.001, high: 0.01}}, model: {hidden: [[], [4]]}}"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("mirror") / "weights" / f"{NAME}.safetensors"
    path.parent.mkdir()
    save_file(timm.create_model(NAME).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of processed images, which tests must leave as it is."""
    root = tmp_path_factory.mktemp("images")
    image_folder(root / "own", n=40)
    prepare(params_of(root).data, root / "raw", root / "processed")
    return root / "processed" / "images"


def params_of(root: Path, *settings: str) -> Params:
    given = ["data.name=images", f"data.path={root / 'own'}", "data.image_size=null", f"model.name=timm/{NAME}"]
    small = ["model.input_size=32", "model.hidden=[4]", "train.epochs=3", "train.device=cpu", "train.threads=1"]
    few = ["schedule.warmup_epochs=0", "tune.n_trials=4", "tune.repeats=0", "evaluate.resamples=100", SPACE]
    return load_params(PARAMS_FILE, [*given, *small, *few, *settings])


@pytest.fixture
def make(images: Path, weights: Path) -> Callable[..., tuple[Params, Path]]:
    """Runs the stage; returns the params, and the folder that it has written."""

    def run(*settings: str) -> tuple[Params, Path]:
        params = params_of(images.parents[1], f"model.weights={weights}", *settings)
        features(params, images)
        return params, features_folder(images)

    return run


def test_other_networks_get_a_file_that_names_no_weights(make: Callable[..., Any], images: Path) -> None:
    params, folder = make("model.name=cnn")
    assert [path.name for path in folder.iterdir()] == ["pretrained.json"]
    assert json.loads((folder / "pretrained.json").read_text())["pretrained"] is None
    assert trained_rows(params, images, load_meta(images)).folder == images


def test_features_are_those_of_the_frozen_network_standardized(make: Callable[..., Any], images: Path) -> None:
    params, folder = make()
    meta, pixels = load_meta(folder), load_meta(images)
    assert (meta.kind, meta.input_shape, meta.split_sizes) == ("features", (256,), pixels.split_sizes)
    body = load_body(folder / "body.safetensors", params.model.model_dump(), pixels.input_shape)
    for name in ("train", "val", "test"):
        split, of_images = load_split(folder, meta, name), load_split(images, pixels, name)
        expected = body(torch.tensor(of_images.x))
        torch.testing.assert_close(torch.tensor(split.x), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(split.y, of_images.y)
        np.testing.assert_array_equal(split.ids, of_images.ids)
    x = load_split(folder, meta, "train").x
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(0), np.where(np.ptp(x, axis=0) > 0, 1, 0), atol=1e-3)


def test_augmented_copies_are_training_rows_of_their_own(make: Callable[..., Any], images: Path) -> None:
    mirror = "data.augment=[{flip_horizontal: 1.0}]"
    _, folder = make(mirror, "model.feature_copies=2")
    meta, n = load_meta(folder), load_meta(images).split_sizes["train"]
    train = load_split(folder, meta, "train")
    assert meta.split_sizes == load_meta(images).split_sizes | {"train": 3 * n}
    assert len(train.x) == len(train.y) == sum(meta.class_counts) == 3 * n
    np.testing.assert_array_equal(train.y[:n], train.y[n : 2 * n])
    np.testing.assert_allclose(train.x[n : 2 * n], train.x[2 * n :], atol=1e-4)  # each is mirrored in each copy
    assert np.abs(train.x[:n] - train.x[n : 2 * n]).max() > 0.1


def test_weights_of_the_mirror_are_taken_without_being_named(
    make: Callable[..., Any], weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WELLFIT_MIRROR", str(weights.parents[1]))
    _, folder = make("model.weights=pretrained", "model.freeze=false")
    said = json.loads((folder / "pretrained.json").read_text())["pretrained"]
    assert said["weights"] == f"weights/{NAME}.safetensors of the mirror"
    assert f"sha256 {said['weights_sha256']}" in capsys.readouterr().out
    original = load_file(weights)
    for name, tensor in load_file(folder / "body.safetensors").items():
        if name.startswith("net."):
            assert torch.equal(tensor, original[name.removeprefix("net.")])


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("x.pth", r"model.weights must be pretrained, random or a file of safetensors, got .*x\.pth \(params.yaml\)"),
        ("x.safetensors", r"model.weights: .*x.safetensors not found \(params.yaml\)"),
    ],
)
def test_a_pickle_is_refused_and_what_was_there_stays(
    make: Callable[..., Any], file: str, message: str, tmp_path: Path
) -> None:
    _, folder = make()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    torch.save({}, tmp_path / "x.pth")
    with pytest.raises(WellfitError, match=message):
        make(f"model.weights={tmp_path / file}")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_features_of_other_settings_data_or_bytes_are_refused(make: Callable[..., Any], images: Path) -> None:
    params, folder = make()
    load_training_data(params, images)
    with pytest.raises(WellfitError, match=r"was made with model.input_size 32, which is 48 now: run `dvc repro feat"):
        load_training_data(params.replace({"model.input_size": 48}), images)
    meta = load_meta(images).model_copy(update={"warnings": ("other",)})
    with pytest.raises(WellfitError, match="was made of other data than data/processed/images: run"):
        trained_rows(params, images, meta)
    path = folder / "body.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WellfitError, match=r"body.safetensors is not what features wrote \(its sha256 differs\): run"):
        load_training_data(params, images)
    path.unlink()
    with pytest.raises(WellfitError, match=r"body\.safetensors is not what features wrote"):
        load_training_data(params, images)
    (folder / "pretrained.json").unlink()
    with pytest.raises(WellfitError, match=r"pretrained.json not found, which pretrained networks start from: run"):
        load_training_data(params, images)


def test_a_training_begins_with_the_weights_and_moves_what_is_not_frozen(
    make: Callable[..., Any], images: Path, weights: Path
) -> None:
    params, _ = make("model.freeze=partial", "model.partial=1", "train.epochs=1")
    training = begin([params], load_training_data(params, images), packed=False)
    original, body = load_file(weights), training.learner.model.get_submodule("body")

    def moved() -> set[str]:
        return {name for name, each in body.get_submodule("net").state_dict().items() if not each.equal(original[name])}

    assert moved() == set()
    list(training.epochs)
    assert {name.split(".")[0] for name in moved()} == {"blocks", "conv_head", "bn2"}
    assert {name.split(".")[1] for name in moved() if name.startswith("blocks")} == {"4"}


@pytest.mark.parametrize("freeze", ["true", "false"])
def test_from_other_weights_it_is_another_training(
    freeze: str, make: Callable[..., Any], images: Path, tmp_path: Path
) -> None:
    params, _ = make(f"model.freeze={freeze}")
    first = load_training_data(params, images).meta.sha256
    torch.manual_seed(1)
    save_file(timm.create_model(NAME).state_dict(), tmp_path / "other.safetensors")
    params, _ = make(f"model.freeze={freeze}", f"model.weights={tmp_path / 'other.safetensors'}")
    assert load_training_data(params, images).meta.sha256 != first


def run_stages(params: Params, images: Path, root: Path) -> Path:
    """Tunes, trains and evaluates; returns the folder of the model."""
    tune(params, images, root / "reports" / "tune", root / "models")
    train(params, images, root / "reports" / "tune", root / "models", root / "reports" / "train")
    evaluate(params, images, root / "models", root / "reports")
    return root / "models" / "images"


@pytest.mark.parametrize("freeze", ["true", "false"])
def test_the_model_takes_images(
    freeze: str, make: Callable[..., Any], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a frozen network heads train as packs, and the folder has the network beside them."""
    monkeypatch.chdir(tmp_path)
    params, _ = make(f"model.freeze={freeze}", "explain.enabled=false")
    assert can_pack(params) == (freeze == "true")
    folder = run_stages(params, images, tmp_path)
    assert (folder / "body.safetensors").exists() == (freeze == "true")
    pins = (folder / "requirements.txt").read_text().splitlines()
    assert {"timm", "torchvision"} <= {pin.partition("==")[0] for pin in pins}
    model = wellfit.load(folder)
    meta = load_meta(images)
    test = load_split(images, meta, "test")
    table = pd.read_csv(tmp_path / "reports" / "evaluate" / "predictions.csv")
    files = [images.parents[1] / "own" / name for name in table["id"]]
    chances = model.predict_proba(files)
    np.testing.assert_allclose(chances, table[[f"p_{name}" for name in meta.class_names]], atol=1e-4)
    np.testing.assert_allclose(model.predict_proba(np.asarray(test.x)), chances, atol=1e-5)
    said = load_body_info(tmp_path)
    assert said in (tmp_path / "reports" / "report.html").read_text()
    assert said in (folder / "card.md").read_text()


def load_body_info(root: Path) -> str:
    """The sha256 of the weights, as the checkpoint has it."""
    from wellfit.training.checkpoint import load_checkpoint

    sha256: str = load_checkpoint(root / "models" / "best.safetensors").info["pretrained"]["sha256"]
    return sha256


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["true", "partial"])
@pytest.mark.parametrize("format_name", FORMATS)
def test_what_is_exported_predicts_images_alike(
    freeze: str,
    format_name: str,
    make: Callable[..., Any],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    params, _ = make(f"model.freeze={freeze}", "model.partial=1", "explain.enabled=false", "tune.enabled=false")
    from wellfit.tuning.best import write_no_tuning

    write_no_tuning(tmp_path / "reports" / "tune", tmp_path / "models")
    train(params, images, tmp_path / "reports" / "tune", tmp_path / "models", tmp_path / "reports" / "train")
    evaluate(params, images, tmp_path / "models", tmp_path / "reports")
    model, x = wellfit.load(tmp_path / "models" / "images"), np.array(load_split(images, load_meta(images), "test").x)
    found = run_of(export_model(model, format_name), format_name)(x)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(x), atol=1e-4)
