"""Trainings to the end, of any configurations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from wellfit.settings.params import Params
from wellfit.training import finish as finish_module
from wellfit.training.cores import Cores
from wellfit.training.finish import finish
from wellfit.training.setup import begin, load_training_data
from wellfit.training.size import Size

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.mark.parametrize("size", [Size(1, 1, 0.0), Size(2, 1, 0.0), Size(8, 1, 0.0, 2), Size(1, 1, 0.0, 2)], ids=str)
def test_each_comes_to_what_it_would_alone(
    make_params: Callable[..., Params], processed: Callable[..., Path], size: Size
) -> None:
    settings = [
        [],
        ["model.hidden=[4, 4]"],
        ["optim.lr=0.02"],
        ["model.hidden=[4, 4]", "train.seed=3"],
        ["train.seed=2"],
    ]
    members = [make_params("table", *changes) for changes in settings]
    data = load_training_data(members[0], processed())
    with Cores(data, size.processes) as cores:
        finished = finish(members, size, cores)
    for params, found in zip(members, finished, strict=True):
        training = begin([params], data, packed=False)
        weights = {}
        for epoch in training.epochs:
            if epoch.improved[0]:
                weights = training.learner.weights(0)
        assert found is not None
        assert found.epoch == training.members.best_epoch[0]
        assert found.best == pytest.approx(float(training.members.best[0]), rel=1e-4)
        for name, tensor in weights.items():
            torch.testing.assert_close(found.weights[name], tensor, rtol=1e-3, atol=1e-4)
        checkpoint = found.checkpoint(params, "abc", "trial 3")
        assert checkpoint.info["config"]["train"]["seed"] == params.train.seed
        assert (checkpoint.info["data_sha256"], checkpoint.info["source"]) == ("abc", "trial 3")


def test_what_blows_up_comes_to_nothing(make_params: Callable[..., Params], processed: Callable[..., Path]) -> None:
    wild = ["optim.name=sgd", "model.norm=none"]
    members = [make_params("regression", *wild, f"optim.lr={lr}") for lr in (1e30, 1e-4)]
    data = load_training_data(members[0], processed("regression"))
    with Cores(data) as cores:
        blown_up, sound = finish(members, Size(2, 1, 0.0), cores)
    assert blown_up is None
    assert sound is not None
    assert np.isfinite(sound.best)


@pytest.mark.parametrize("lr", [1e30, 1e-4])
def test_packs_that_have_ended_are_not_trained_again(
    make_params: Callable[..., Params],
    processed: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lr: float,
) -> None:
    wild = ["optim.name=sgd", "model.norm=none"]
    members = [make_params("regression", *wild, f"optim.lr={lr}", f"train.seed={seed}") for seed in range(3)]
    data, trained = load_training_data(members[0], processed("regression")), []
    train = finish_module._train
    monkeypatch.setattr(finish_module, "_train", lambda pack, *rest: trained.append(len(pack)) or train(pack, *rest))
    with Cores(data) as cores:
        first = finish(members, Size(2, 1, 0.0), cores, tmp_path / "kept")
        assert trained == [2, 1]
        again = finish(members, Size(2, 1, 9.0), cores, tmp_path / "kept")
        assert trained == [2, 1]
        for one, other in zip(first, again, strict=True):
            if one is None or other is None:
                assert one is other
                continue
            assert one[:2] == other[:2]
            assert all(torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items())
        assert (first[0] is None) == (lr == 1e30)
        damaged = max((tmp_path / "kept").iterdir(), key=lambda path: path.stat().st_size)
        damaged.write_bytes(damaged.read_bytes()[:-1])
        finish(members, Size(2, 1, 0.0), cores, tmp_path / "kept")
        assert len(trained) == 3, "all of the pack that is damaged"
        finish(members, Size(3, 1, 0.0), cores, tmp_path / "kept")
        assert trained[-1] == 3, "sums round by how many train at once"
