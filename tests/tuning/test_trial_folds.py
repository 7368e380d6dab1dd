"""Trials of a cross-validation: a member for each fold, and the mean of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from wellfit.settings.params import Params
from wellfit.training.checkpoint import load_checkpoint, load_checkpoints
from wellfit.training.cores import Cores
from wellfit.training.folds import Folds
from wellfit.training.setup import TrainingData, begin, load_training_data
from wellfit.training.size import Size
from wellfit.training.tensors import Tensors
from wellfit.tuning.leaders import repeat_leaders, save_candidates, scores_of
from wellfit.tuning.report import Row
from wellfit.tuning.running import Ended
from wellfit.tuning.trials import most_processes, record_trials, sizes_of_study

from .test_trials import Packs, Script, packs, params_with, rates, trained

__all__ = ["packs"]

FOLDS = 3


def folds_with(*changes: str) -> Params:
    return params_with(f"data.folds={FOLDS}", *changes)


@pytest.fixture
def data(prepared: Path) -> TrainingData:
    return in_folds(load_training_data(params_with(), prepared / "moons"), [1, 2])


def in_folds(data: TrainingData, of_train: Sequence[int]) -> TrainingData:
    pool = Tensors(torch.cat([data.train.x, data.val.x]), torch.cat([data.train.y, data.val.y]))
    fold = np.r_[np.resize(of_train, len(data.train.y)), np.zeros(len(data.val.y), int)]
    return data._replace(folds=Folds(pool, torch.from_numpy(fold)))


def single_run(params: Params, data: TrainingData) -> tuple[list[float], dict[str, torch.Tensor]]:
    training, weights = begin([params], data, packed=False), {}
    losses = []
    for epoch in training.epochs:
        losses.append(float(epoch.metrics["val/loss"][0]))
        if epoch.improved[0]:
            weights = training.learner.weights(0)
    return losses, weights


def test_the_value_of_a_trial_is_the_mean_of_single_runs(data: TrainingData) -> None:
    params = folds_with("train.epochs=8", "train.patience=2")
    study = Script([{"optim.lr": 0.3, "model.dropout": 0.1}, {"optim.lr": 0.01}])
    ended = {each.record.number: each for each in trained(study, params, data, 6)}
    lengths = set()
    for number, found in ended.items():
        values = {"optim.lr": [0.3, 0.01][number], "model.dropout": [0.1, params.model.dropout][number]}
        runs = [single_run(params.replace({"tune.space": {}, "train.fold": k} | values), data) for k in range(FOLDS)]
        assert found.record.best == pytest.approx(np.mean([min(losses) for losses, _ in runs]), rel=1e-3)
        # A fold that has stopped counts with its best.
        longest = max(len(losses) for losses, _ in runs)
        filled = [losses + [min(losses)] * (longest - len(losses)) for losses, _ in runs]
        mean = np.mean(filled, axis=0).tolist()
        assert [epoch["val/loss"] for epoch in found.record.history] == pytest.approx(mean, rel=1e-3)
        assert list(study.reports[number].values()) == pytest.approx(mean, rel=1e-3)
        assert found.record.best_epoch == np.argmin(runs[0][0]) + 1
        for (losses, weights), model in zip(runs, found.models, strict=True):
            assert (model.epoch, model.best) == (np.argmin(losses) + 1, pytest.approx(min(losses), rel=1e-3))
            for name, tensor in weights.items():
                torch.testing.assert_close(model.weights[name], tensor, rtol=1e-3, atol=1e-4)
        lengths.add(len({len(losses) for losses, _ in runs}))
    assert max(lengths) > 1, "else nothing shows what a fold that has stopped counts with"


def test_pruning_stops_all_folds_and_the_next_trial_joins_with_all_of_its_own(data: TrainingData, packs: Packs) -> None:
    study = Script(rates(0.01, 0.02, 0.03), pruned={0: 2})
    ended = {each.record.number: each for each in trained(study, folds_with(), data, 7)}
    assert packs.history == [[[0.01] * 3 + [0.02] * 3, [0.02] * 3 + [0.03] * 3, [0.03] * 3]]
    assert [ended[number].record.state for number in range(3)] == ["pruned", "complete", "complete"]
    assert [len(ended[number].record.history) for number in range(3)] == [2, 4, 4]
    assert all(len(each.models) == FOLDS for each in ended.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="the fork of a process that has trained cannot train")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_processes_share_the_folds_of_a_trial(data: TrainingData) -> None:
    params = folds_with("train.epochs=6", "train.patience=1").replace({"train.threads": None})
    found = []
    for processes in (1, 2):
        with Cores(data, processes) as cores:
            ended = trained(Script(rates(0.3, 0.01, 0.2), pruned={1: 2}), params, data, 6, cores)
        found.append({each.record.number: each for each in ended})
    assert [found[0][number].record.state for number in range(3)] == ["complete", "pruned", "complete"]
    for number, one in found[0].items():
        two = found[1][number]
        assert two.record.best == pytest.approx(one.record.best, rel=1e-4)
        assert [model.epoch for model in two.models] == [model.epoch for model in one.models]


def test_a_fold_that_blows_up_ends_its_trial(data: TrainingData) -> None:
    by_time = in_folds(data, [-1, 2, 1])
    assert by_time.folds is not None
    pool = by_time.folds.pool
    x = pool.x.clone()
    x[by_time.folds.validation(0)] = torch.nan  # the newest rows, which no model is trained on
    spoilt = by_time._replace(folds=by_time.folds._replace(pool=pool._replace(x=x)))
    study = Script(rates(0.01))
    (ended,) = trained(study, folds_with(), spoilt, 3)
    assert ended.record.state == "failed"
    assert ended.record.failure == "val/loss is nan in epoch 1 (fold 0)"
    assert (ended.models, ended.record.best, len(ended.record.history)) == ((), None, 1)
    assert study.reports == {}


def test_each_fold_is_kept_in_a_file(data: TrainingData, tmp_path: Path) -> None:
    params = folds_with("train.epochs=2")
    ((folder, record),) = record_trials(
        Script(rates(0.01)),  # type: ignore[arg-type]
        params,
        data,
        Size(3, 1, 0.0),
        tmp_path,
        Cores(data),
    )
    names = ["best.safetensors", "fold1.safetensors", "fold2.safetensors"]
    assert sorted(file.name for file in folder.glob("*.safetensors")) == names
    found = [load_checkpoint(folder / name) for name in names]
    assert [each.info["config"]["train"]["fold"] for each in found] == [0, 1, 2]
    assert np.mean([each.info["metrics"]["val/loss"] for each in found]) == pytest.approx(record.best)


def test_leaders_are_repeated_in_all_folds(data: TrainingData, tmp_path: Path) -> None:
    params = folds_with("tune.leaders=2", "tune.repeats=2", "train.epochs=2")
    ended: list[Ended] = trained(Script(rates(0.01, 0.02)), params, data, 6)
    rows = [Row.of(each.record) for each in ended]
    with Cores(data) as cores:
        leaders = repeat_leaders(rows, params, data, Size(6, 1, 0.0), cores)
    losses = [min(single_run(leaders[1].params.replace({"train.seed": 2, "train.fold": k}), data)[0]) for k in range(3)]
    assert scores_of(leaders)[1][2] == pytest.approx(np.mean(losses), rel=1e-3)
    save_candidates(tmp_path / "all", rows, tmp_path / "none", leaders, data, higher=False)
    found = [(each.info["source"], each.info["config"]["train"]["fold"]) for each in load_checkpoints(tmp_path / "all")]
    assert len(found) == 12
    for start in range(0, 12, 3):
        assert [fold for _, fold in found[start : start + 3]] == [0, 1, 2]
        assert len({source for source, _ in found[start : start + 3]}) == 1


def test_a_pack_holds_the_folds_of_whole_trials() -> None:
    assert sizes_of_study(folds_with("tune.n_trials=20")) == [3, 12, 24]
    assert sizes_of_study(folds_with("tune.pack=2")) == [3]
    assert sizes_of_study(folds_with("tune.pack=8")) == [8]
    assert sizes_of_study(folds_with("tune.n_trials=1000"))[-1] == 96
    assert most_processes(folds_with("tune.n_trials=2")) == 1
