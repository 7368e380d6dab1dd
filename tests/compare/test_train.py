"""Trainings of a comparison: that each is what the train stage would make of it, and what is measured of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from wellfit.compare import train as module
from wellfit.compare.comparison import NamedComparison
from wellfit.compare.train import (
    Ended,
    Job,
    check_can_begin,
    cores_for,
    kept_scores,
    plan_groups,
    some_rows,
    train_groups,
    with_gaps,
)
from wellfit.data.store import load_split
from wellfit.errors import WellfitError
from wellfit.settings.params import Params
from wellfit.training.cores import Cores
from wellfit.training.setup import TrainingData, begin, load_training_data
from wellfit.training.size import Size
from wellfit.training.tensors import Tensors, to_tensors

from .conftest import base_params, compare

BASE = ["data.n_samples=240", "model.hidden=[8]", "train.epochs=4", "train.device=cpu", "train.threads=1"]


def params_with(*changes: str) -> Params:
    return base_params(*BASE, *changes)


@pytest.fixture
def data(prepared: Path, project: Path) -> TrainingData:
    return load_training_data(params_with(), prepared / "moons")


@pytest.fixture
def test_rows(prepared: Path, data: TrainingData) -> Tensors:
    return to_tensors(load_split(prepared / "moons", data.meta, "test"), data.meta, torch.device("cpu"))


@pytest.fixture(autouse=True)
def _packs_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module,
        "choose_size",
        lambda params, data, sizes, cores: Size(min(4, max(sizes)) if sizes != [1] else 1, 1, 0.0, len(cores)),
    )


def jobs_of(*variants: Sequence[str], seeds: int = 2) -> list[Job]:
    return [
        Job(f"v{number}", params_with(*changes, f"train.seed={seed}"), Path(f"{number}-{seed}"))
        for number, changes in enumerate(variants)
        for seed in range(seeds)
    ]


def trained(jobs: list[Job], data: TrainingData, test: Tensors, *, best: bool = True) -> dict[str, Ended]:
    with cores_for(jobs, data, keeps_best=best) as cores:
        groups = plan_groups(jobs, [], data, cores)
        return {str(ended.job.folder): ended for ended in train_groups(groups, data, lambda: test, cores)}


def test_gaps_are_positive_where_a_network_overfits() -> None:
    train = {"loss": 0.1, "accuracy": 1.0, "rmse": 2.0, "r2": 0.9, "only": 1.0}
    val = {"loss": 0.3, "accuracy": 0.75, "rmse": 1.5, "r2": 0.5}
    found = with_gaps({"train": train, "val": val})
    gaps = {"loss": pytest.approx(0.2), "accuracy": 0.25, "rmse": -0.5, "r2": pytest.approx(0.4)}
    assert {name.removeprefix("gap/"): gap for name, gap in found.items() if name.startswith("gap/")} == gaps
    assert (found["train/only"], found["val/rmse"]) == (1.0, 1.5)


@pytest.mark.parametrize("keeps_best", [True, False])
def test_each_training_is_what_it_is_alone(data: TrainingData, test_rows: Tensors, keeps_best: bool) -> None:
    """Among others that end earlier, with early stopping and with an average of the weights."""
    jobs = jobs_of((), ("model.dropout=0.3", "train.epochs=3"), ("optim.lr=0.1", "train.patience=1", "train.epochs=9"))
    jobs += [Job("ema", params_with("regularize.average=ema"), Path("ema"))]
    found = trained(jobs, data, test_rows, best=keeps_best)
    assert set(found) == {str(job.folder) for job in jobs}
    for job in jobs:
        outcome, weights = found[str(job.folder)].outcome, found[str(job.folder)].weights
        training = begin([job.params], data, packed=False)
        states = []
        for number, epoch in enumerate(training.epochs):
            states.append(training.learner.weights(0))
            alone, ours = epoch.of(0), outcome.history[number]
            for name in ("val/loss", "val/accuracy", "lr", "grad_norm"):
                assert ours[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-6), (job.variant, name)
            again = training.learner.score(some_rows(data), ranked=True)
            assert ours["train/loss"] == pytest.approx(again["loss"][0], rel=1e-3)
            assert ours["gap/loss"] == pytest.approx(ours["val/loss"] - ours["train/loss"])
        assert len(outcome.history) == len(states)
        assert outcome.best_epoch == training.members.best_epoch[0]
        expected = states[outcome.best_epoch - 1] if keeps_best else states[-1]
        assert weights is not None
        assert set(weights) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-5)
        assert outcome.scores["val/loss"] == pytest.approx(
            outcome.history[outcome.best_epoch - 1 if keeps_best else -1]["val/loss"], rel=1e-3
        )
        assert outcome.seconds > 0
        assert outcome.started <= outcome.ended


def test_dropout_is_off_where_training_rows_are_scored(data: TrainingData, test_rows: Tensors) -> None:
    jobs = jobs_of(("model.dropout=0.9", "optim.lr=1e-9", "train.epochs=1"), seeds=1)
    (ended,) = trained(jobs, data, test_rows).values()
    params = params_with("optim.lr=1e-9")  # the same network, which dropout has not touched yet
    training = begin([params], data, packed=False)
    next(training.epochs)
    expected = training.learner.score(some_rows(data), ranked=True)["loss"][0]
    assert ended.outcome.history[0]["train/loss"] == pytest.approx(expected, rel=1e-4)


def test_scores_are_those_of_all_rows_of_each_split(data: TrainingData, test_rows: Tensors) -> None:
    params = params_with()
    training = begin([params], data, packed=False)
    for _ in training.epochs:
        pass
    found = kept_scores(params, training.learner.weights(0), data, test_rows)
    logits = training.learner.model.eval()(training.learner.inputs(test_rows.x))
    assert found["test/accuracy"] == pytest.approx(float((logits.argmax(1) == test_rows.y).float().mean()))
    loss = torch.nn.functional.cross_entropy(logits, test_rows.y)
    assert found["test/loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert found["gap/loss"] == pytest.approx(found["val/loss"] - found["train/loss"])
    assert {name.split("/")[0] for name in found} == {"train", "val", "test", "gap"}


def test_a_training_that_blows_up_fails_alone(data: TrainingData, test_rows: Tensors) -> None:
    jobs = jobs_of(("optim.name=sgd",), ("optim.name=sgd", "optim.lr=1e30"), seeds=1)
    found = trained(jobs, data, test_rows)
    good, bad = (found[str(job.folder)] for job in jobs)
    assert good.outcome.failure == ""
    assert len(good.outcome.history) == 4
    assert "loss is" in bad.outcome.failure
    assert bad.outcome.scores == {}
    assert bad.weights is None


def test_the_test_split_is_opened_when_a_training_has_ended(data: TrainingData, test_rows: Tensors) -> None:
    cores = Cores(data, scored=some_rows(data))
    groups = plan_groups(jobs_of(("train.epochs=2",), ("train.epochs=4",), seeds=1), [], data, cores)
    opened: list[int] = []

    def open_test() -> Tensors:
        opened.append(1)
        return test_rows

    trainings = train_groups(groups, data, open_test, cores)
    assert opened == []
    next(trainings)
    assert opened == [1]
    trainings.close()


def test_those_that_share_a_shape_are_packed_evenly(data: TrainingData) -> None:
    jobs = jobs_of((), ("model.dropout=0.3",), ("model.hidden=[9]",), seeds=3)
    groups = plan_groups(jobs, [], data, Cores(data))
    assert [[str(job.folder) for job in group.jobs] for group in groups] == [
        ["0-0", "0-1", "0-2"],
        ["1-0", "1-1", "1-2"],
        ["2-0", "2-1", "2-2"],
    ]
    # What is done is left out, and the size stays that of the whole.
    kept = {job.folder for job in jobs}
    groups = plan_groups(jobs, kept - {Path("0-2"), Path("1-2")}, data, Cores(data))
    assert [[str(job.folder) for job in group.jobs] for group in groups] == [["0-2", "1-2"]]
    assert groups[0].size.members == 4
    assert plan_groups(jobs, kept, data, Cores(data)) == []


@pytest.mark.parametrize(("processes", "groups"), [(1, [1, 1, 1]), (2, [2, 1])])
def test_convolutions_train_one_in_each_process(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, processes: int, groups: list[int]
) -> None:
    monkeypatch.setattr(module, "choose_size", lambda *_: Size(1, 1, 0.0, processes))
    jobs = jobs_of(("data.name=digits", "model.name=cnn"), seeds=3)
    assert [len(group.jobs) for group in plan_groups(jobs, [], data, Cores(data))] == groups


@pytest.mark.skipif(torch.cuda.is_available(), reason="the fork of a process that has trained cannot train")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("keeps_best", [True, False])
def test_processes_make_of_each_training_what_one_makes_of_it(
    data: TrainingData, test_rows: Tensors, monkeypatch: pytest.MonkeyPatch, keeps_best: bool
) -> None:
    """To the last bit, among others that end earlier and one that blows up."""
    jobs = jobs_of(
        (), ("train.epochs=3", "model.dropout=0.3"), ("optim.name=sgd",), ("optim.name=sgd", "optim.lr=1e30")
    )
    jobs += jobs_of(("model.norm=batch", "train.patience=1", "train.epochs=9"))
    jobs = [
        job._replace(params=job.params.replace({"train.threads": None}), folder=Path(str(k)))
        for k, job in enumerate(jobs)
    ]
    one, two = {}, {}
    for processes, found in ((1, one), (2, two)):
        monkeypatch.setattr("wellfit.training.size.core_count", lambda count=processes: count)
        with cores_for(jobs, data, keeps_best=keeps_best) as cores:
            assert len(cores) == processes
        found |= trained(jobs, data, test_rows, best=keeps_best)
    assert one.keys() == two.keys()
    assert {ended.outcome.failure == "" for ended in one.values()} == {True, False}
    for name, ended in one.items():
        ours, theirs = two[name].outcome, ended.outcome
        np.testing.assert_equal(ours.history, theirs.history)
        assert (ours.scores, ours.best_epoch, ours.failure) == (theirs.scores, theirs.best_epoch, theirs.failure)
        for key, weights in (ended.weights or {}).items():
            assert torch.equal(two[name].weights[key], weights)


@pytest.mark.parametrize(("rows", "most"), [(300, 200), (200, 200), (150, 150)])
def test_a_fixed_choice_of_training_rows_is_scored(data: TrainingData, rows: int, most: int) -> None:
    train = Tensors(torch.arange(float(rows))[:, None], torch.arange(rows), torch.arange(float(rows)))
    val = Tensors(torch.zeros(100, 1), torch.zeros(100))
    chosen, again = (some_rows(TrainingData(data.meta, train, val)) for _ in range(2))
    assert len(chosen.y) == most
    assert chosen.y.unique().numel() == most
    assert torch.equal(chosen.y, again.y)
    assert torch.equal(chosen.x[:, 0].long(), chosen.y)
    assert chosen.weights is not None
    assert torch.equal(chosen.weights.long(), chosen.y)
    if rows > most:
        assert chosen.y.max() > most + 50  # not the first ones


def test_a_variant_that_does_not_fit_the_data_is_named(data: TrainingData) -> None:
    variants = {"plain": params_with(), "weighted": params_with("loss.class_weights=[1, 2, 3]")}
    named = NamedComparison("small", compare({name: {} for name in variants}), params_with(), variants, {})
    with pytest.raises(WellfitError, match=r"^variant weighted: loss\.class_weights must have one number for each"):
        check_can_begin(named, data)


def test_what_is_left_of_a_pack_computes_as_the_whole_does(data: TrainingData, test_rows: Tensors) -> None:
    """To the last bit, or a comparison that was interrupted would not have the report that it would have had."""
    jobs = jobs_of((), ("model.dropout=0.3",), ("model.norm=batch",), ("model.norm=layer",))
    whole = trained(jobs, data, test_rows)
    for job in jobs:
        kept = {other.folder for other in jobs} - {job.folder}
        with cores_for(jobs, data, keeps_best=True) as cores:
            groups = plan_groups(jobs, kept, data, cores)
            (alone,) = train_groups(groups, data, lambda: test_rows, cores)
        assert alone.outcome.history == whole[str(job.folder)].outcome.history, job.variant
        assert alone.outcome.scores == whole[str(job.folder)].outcome.scores
        assert np.isfinite(alone.outcome.scores["test/loss"])
