"""The features stage, and the stages behind it on what it leaves. The network is small, and its weights are random."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

import wellfit
from wellfit.data.features import features_folder, trained_rows
from wellfit.data.prepare import prepare
from wellfit.data.store import load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.models.inputs import inputs_of
from wellfit.models.pretrained import Body, FrozenStages, load_body
from wellfit.serving.export import FORMATS, export_model
from wellfit.settings.params import Params, load_params
from wellfit.stages import features as stage
from wellfit.stages.evaluate import evaluate
from wellfit.stages.features import features
from wellfit.stages.train import train
from wellfit.stages.tune import tune
from wellfit.training.batches import Batches, rows_of
from wellfit.training.pack import can_pack
from wellfit.training.setup import begin, load_training_data

from ..serving.own import image_folder
from ..serving.test_export import run_of
from .conftest import PARAMS_FILE

NAME = "test_efficientnet"
PARTIAL = ("model.freeze=partial", "model.partial=2")
MAPS = (32, 4, 4)  # by the stages before those, of an image of 32 pixels
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


def maps_by_timm(params: Params, weights: Path, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """What the first three of five stages of the whole network put out."""
    body, found = Body(params.model, pixels.shape[1:], weights).eval(), list[torch.Tensor]()
    body.net.blocks[2].register_forward_hook(lambda _module, _inputs, output: found.append(output))
    with torch.inference_mode():
        body(torch.tensor(pixels))
    return found[0].numpy()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_maps_are_those_before_the_last_stages(
    dtype: str,
    make: Callable[..., Any],
    images: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if dtype == "float16":  # which many are kept in
        monkeypatch.setattr(stage, "FLOAT32_BYTES", 0)
    params, folder = make(*PARTIAL)
    meta, pixels = load_meta(folder), load_meta(images)
    assert (meta.kind, meta.input_shape, meta.split_sizes) == ("maps", MAPS, pixels.split_sizes)
    assert f"maps of 32 x 4 x 4 in {dtype}: 0.00 GiB" in capsys.readouterr().out
    body = load_body(folder / "body.safetensors", params.model.model_dump(), pixels.input_shape)
    assert isinstance(body, FrozenStages)
    tolerance = 1e-5 if dtype == "float32" else 1e-3
    for name in ("train", "val", "test"):
        split, of_images = load_split(folder, meta, name), load_split(images, pixels, name)
        assert split.x.dtype == dtype
        np.testing.assert_allclose(split.x, maps_by_timm(params, weights, of_images.x), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(split.x, body(torch.tensor(of_images.x)), rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(split.y, of_images.y)
        np.testing.assert_array_equal(split.ids, of_images.ids)


def test_numbers_that_float16_does_not_hold_are_kept_in_float32(
    make: Callable[..., Any], images: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = load_file(weights)
    large["blocks.2.0.bn2.weight"] *= 1e8
    save_file(large, tmp_path / "large.safetensors")
    monkeypatch.setattr(stage, "FLOAT32_BYTES", 0)
    _, folder = make(*PARTIAL, f"model.weights={tmp_path / 'large.safetensors'}")
    x = load_split(folder, load_meta(folder), "train").x
    assert x.dtype == "float32"
    assert 65504 < np.abs(x).max() < np.inf


def test_augmented_copies_have_maps(make: Callable[..., Any], images: Path, weights: Path) -> None:
    params, folder = make(*PARTIAL, "data.augment=[{flip_horizontal: 1.0}]", "model.feature_copies=1")
    meta, pixels = load_meta(folder), load_split(images, load_meta(images), "train")
    train, n = load_split(folder, meta, "train"), len(pixels.y)
    assert meta.split_sizes["train"] == len(train.y) == sum(meta.class_counts) == 2 * n
    mirrored = maps_by_timm(params, weights, pixels.x[..., ::-1].copy())
    np.testing.assert_allclose(train.x[n:], mirrored, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(train.ids[:n], train.ids[n:])


def test_a_step_on_maps_is_the_step_through_all_stages(make: Callable[..., Any], images: Path) -> None:
    """Random numbers, norms in training mode and rates of the body included."""
    found = []
    for copies in ("0", "null"):
        params, _ = make(*PARTIAL, f"model.feature_copies={copies}", "model.dropout=0.3", "train.batch_size=8")
        training = begin([params], load_training_data(params, images), packed=False)
        epochs = list(training.epochs)
        found.append((training.learner.weights(0), epochs[-1].of(0)))
    (on_maps, scores), (whole, of_whole) = found
    assert on_maps.keys() < whole.keys()
    for name, tensor in on_maps.items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-3, atol=1e-4)
    assert scores["val/loss"] == pytest.approx(of_whole["val/loss"], rel=1e-3)
    assert scores["grad_norm"] == pytest.approx(of_whole["grad_norm"], rel=1e-3)


def test_maps_that_memory_does_not_hold_stay_on_disk(make: Callable[..., Any], images: Path) -> None:
    params, _ = make(*PARTIAL, "data.memory=0.001", "model.input_size=160", "train.epochs=1")
    data = load_training_data(params, images)
    assert data.train.stream is not None
    (epoch,) = begin([params], data, packed=False).epochs
    assert np.isfinite(epoch.metrics["val/loss"]).all()


def test_maps_of_other_stages_are_refused(make: Callable[..., Any], images: Path) -> None:
    params, _ = make(*PARTIAL)
    with pytest.raises(WellfitError, match=r"was made with model.partial 2, which is 1 now: run `dvc repro features`"):
        load_training_data(params.replace({"model.partial": 1}), images)
    make(*PARTIAL, "model.feature_copies=null")
    with pytest.raises(WellfitError, match=r"was made with model.feature_copies None, which is 0 now: run `dvc repro"):
        load_training_data(params, images)


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


@pytest.mark.parametrize("freeze", [[], PARTIAL])
def test_a_flipped_bit_is_one_line_in_every_file_with_the_stage_that_helps(
    freeze: Sequence[str], make: Callable[..., Any], images: Path
) -> None:
    params, folder = make(*freeze)
    files = [path for path in folder.iterdir() if not path.stem.endswith("test")]  # which training does not open
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        with pytest.raises(WellfitError, match=rf"{path.name}.*`dvc repro (--force )?features`"):
            load_training_data(params, images)
        path.write_bytes(whole)
    assert len(files) == 9


@pytest.mark.parametrize("copies", ["0", "null"])
def test_a_training_begins_with_the_weights_and_moves_what_is_not_frozen(
    copies: str, make: Callable[..., Any], images: Path, weights: Path
) -> None:
    params, _ = make("model.freeze=partial", "model.partial=1", f"model.feature_copies={copies}", "train.epochs=1")
    training = begin([params], load_training_data(params, images), packed=False)
    original, body = load_file(weights), training.learner.model.get_submodule("body")

    def moved() -> set[str]:
        return {name for name, each in body.get_submodule("net").state_dict().items() if not each.equal(original[name])}

    assert moved() == set()
    list(training.epochs)
    assert {name.split(".")[0] for name in moved()} == {"blocks", "conv_head", "bn2"}
    assert {name.split(".")[1] for name in moved() if name.startswith("blocks")} == {"4"}


def test_boxes_of_maps_are_cut_at_their_own_height_and_width(make: Callable[..., Any], images: Path) -> None:
    params, _ = make(*PARTIAL, "regularize.cutmix=1")
    data, rows = load_training_data(params, images), torch.arange(8)
    inputs = inputs_of(params.model, data.meta, rows.device)
    batches = Batches(data.train, rows_of(data.train, inputs, encodes_once=False), inputs.shape, packed=False)
    batches.change([], [params], augmented=False)
    batches.begin([8])
    batch = batches.take(rows)
    assert batch.partners is not None
    own, other = (data.train.x[taken].float() for taken in (rows, rows[batch.partners]))
    is_own, is_other = (batch.x == own).all(1), (batch.x == other).all(1)
    assert tuple(is_own.shape) == (8, *MAPS[1:])
    assert (is_own | is_other).all()
    moved = batch.partners != rows
    assert is_own[moved].float().mean().item() == pytest.approx(float(batch.shares))


@pytest.mark.parametrize("freeze", ["true", "partial", "false"])
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


@pytest.mark.parametrize("freeze", ["true", "partial", "false"])
def test_the_model_takes_images(
    freeze: str, make: Callable[..., Any], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a frozen network heads train as packs, and the folder has the network, or its frozen stages, beside them."""
    monkeypatch.chdir(tmp_path)
    params, _ = make(f"model.freeze={freeze}", "explain.enabled=false")
    assert can_pack(params) == (freeze == "true")
    folder = run_stages(params, images, tmp_path)
    assert (folder / "body.safetensors").exists() == (freeze != "false")
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
    settings = ("model.partial=1", "model.pooled=[blocks.4, blocks.4/2]", "model.input_size=64")  # maps of 2 x 2
    params, _ = make(f"model.freeze={freeze}", *settings, "explain.enabled=false", "tune.enabled=false")
    from wellfit.tuning.best import write_no_tuning

    write_no_tuning(tmp_path / "reports" / "tune", tmp_path / "models")
    train(params, images, tmp_path / "reports" / "tune", tmp_path / "models", tmp_path / "reports" / "train")
    evaluate(params, images, tmp_path / "models", tmp_path / "reports")
    model, x = wellfit.load(tmp_path / "models" / "images"), np.array(load_split(images, load_meta(images), "test").x)
    found = run_of(export_model(model, format_name), format_name)(x)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(x), atol=1e-4)
