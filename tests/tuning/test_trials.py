"""Trials in packs, of a study that follows a script."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params
from wellfit.training.cores import Cores, SharedTraining
from wellfit.training.setup import Training, TrainingData, begin, load_training_data
from wellfit.training.size import Size
from wellfit.tuning import waiting
from wellfit.tuning.configuration import of_trial, shortened
from wellfit.tuning.record import TrialRecord, read_record
from wellfit.tuning.running import TIMING, Ended
from wellfit.tuning.study import Trial
from wellfit.tuning.trials import most_processes, record_trials, sizes_of_study, train_trials

from ..conftest import PLAIN

PARAMS_FILE = Path(__file__).resolve().parents[2] / "params.yaml"
BASE = ["data.name=moons", "model.hidden=[8]", "train.epochs=4", "train.threads=1", "train.batch_size=32"]
BASE += ["schedule.warmup_epochs=0"]


class Script:
    """A study whose values are given.

    Args:
        values: of the trials, in their order.
        pruned: number of a trial to the epoch at which it is to stop.

    Attributes:
        events: what it was asked and told, in their order.
        reports: number of a trial to the values of its epochs.
        running: trials that have been asked for and are not told.
        most: trials that have been under way at once: reported since the last end of any.
    """

    def __init__(self, values: Iterable[Mapping[str, Any]], pruned: Mapping[int, int] | None = None) -> None:
        self._values, self._pruned = list(values), dict(pruned or {})
        self.events: list[tuple[str, int]] = []
        self.reports: dict[int, dict[int, float]] = {}

    def ask(self, count: int, *, waits: bool = False) -> list[Trial]:
        begun = sum(what == "ask" for what, _ in self.events)
        numbers = range(begun, min(begun + count, len(self._values)))
        self.events += [("ask", number) for number in numbers]
        return [Trial(number, dict(self._values[number])) for number in numbers]

    def report(self, number: int, epoch: int, value: float) -> None:
        self.events.append(("report", number))
        assert epoch == len(self.reports.setdefault(number, {})) + 1
        self.reports[number][epoch] = value

    def should_prune(self, number: int) -> bool:
        return self._pruned.get(number) == len(self.reports[number])

    def tell(self, number: int, state: str, best: float | None) -> None:
        self.events.append(("tell", number))


class Packs:
    """The packs that were begun and how they changed: the learning rates of the members that train."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.history: list[list[list[float]]] = []
        self.threads: list[int] = []

        def noted(members: list[Params], data: TrainingData, *, packed: bool) -> Training:
            self.history.append([[params.optim.lr for params in members]])
            if packed:
                self.threads.append(torch.get_num_threads())
            return begin(members, data, packed=packed)

        change = Training.change

        def changed(training: Training, kept: list[int], added: list[Params]) -> None:
            now = self.history[-1][-1]
            self.history[-1].append([now[k] for k in kept] + [params.optim.lr for params in added])
            change(training, kept, added)

        monkeypatch.setattr("wellfit.tuning.waiting.check_can_train", lambda *_: None)
        monkeypatch.setattr("wellfit.training.shards.begin", noted)
        monkeypatch.setattr(Training, "change", changed)


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> Packs:
    return Packs(monkeypatch)


@pytest.fixture
def data(prepared: Path) -> TrainingData:
    return load_training_data(params_with(), prepared / "moons")


def params_with(*changes: str) -> Params:
    return load_params(PARAMS_FILE, [*PLAIN, *BASE, *changes])


def rates(*values: float) -> list[dict[str, float]]:
    return [{"optim.lr": value} for value in values]


def trained(study: Script, params: Params, data: TrainingData, members: int, cores: Cores | None = None) -> list[Ended]:
    ended, cores = [], cores or Cores(data)
    for each in train_trials(study, params, data, Size(members, 1, 0.0, len(cores)), cores):  # type: ignore[arg-type]
        study.tell(each.record.number, each.record.state, each.record.best)
        ended.append(each)
    return ended


def assert_as_alone(ended: Ended, params: Params, data: TrainingData, epochs: int | None = None) -> None:
    """That the record has what the same configuration gives alone, of so many epochs."""
    training = begin([of_trial(params, Trial(ended.record.number, ended.record.values), data)], data, packed=False)
    history: list[dict[str, float]] = []
    weights: dict[str, torch.Tensor] = {}
    for epoch in training.epochs:
        history.append({name: value for name, value in epoch.of(0).items() if name not in TIMING})
        if epoch.improved[0]:
            weights, best = training.learner.weights(0), len(history)
        if len(history) == epochs:
            break
    assert len(ended.record.history) == len(history)
    for ours, theirs in zip(ended.record.history, history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    assert ended.record.best_epoch == best
    assert ended.record.best == pytest.approx(history[best - 1]["val/loss"], rel=1e-3)
    (model,) = ended.models
    assert (model.best, model.epoch) == (ended.record.best, best)
    for name, tensor in weights.items():
        torch.testing.assert_close(model.weights[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_pack_of_equally_long_trials_is_followed_by_another(data: TrainingData, packs: Packs) -> None:
    study = Script(rates(0.01, 0.02, 0.03, 0.04, 0.05))
    ended = trained(study, params_with(), data, 3)
    assert [each.record.number for each in ended] == [0, 1, 2, 3, 4]
    assert packs.history == [[[0.01, 0.02, 0.03]], [[0.04, 0.05]]]
    for each in ended:
        assert each.record.state == "complete"
        assert_as_alone(each, params_with(), data)
        monitored = [metrics["val/loss"] for metrics in each.record.history]
        assert list(study.reports[each.record.number].values()) == monitored


def test_a_trial_that_is_stopped_is_replaced_by_the_next(data: TrainingData, packs: Packs) -> None:
    study = Script(rates(0.01, 0.02, 0.03, 0.04, 0.05), pruned={1: 2, 3: 1})
    ended = {each.record.number: each for each in trained(study, params_with(), data, 3)}
    # After epoch 2 the fourth takes the place of the second, after epoch 3 the fifth that of the fourth.
    first = [[0.01, 0.02, 0.03], [0.01, 0.03, 0.04], [0.01, 0.03, 0.05], [0.05]]
    assert packs.history == [first]
    assert [ended[number].record.state for number in range(5)] == [
        "complete",
        "pruned",
        "complete",
        "pruned",
        "complete",
    ]
    for number, epochs in enumerate([4, 2, 4, 1, 4]):
        assert_as_alone(ended[number], params_with(), data, epochs)
        assert ended[number].record.failure == ""


def test_a_trial_that_has_ended_is_told_before_the_next_is_asked_for(data: TrainingData) -> None:
    study = Script(rates(0.01, 0.02, 0.03, 0.04), pruned={0: 1, 1: 2, 2: 3})
    trained(study, params_with(), data, 2)
    order = [(what, number) for what, number in study.events if what != "report"]
    assert order[:2] == [("ask", 0), ("ask", 1)]
    assert order[2:6] == [("tell", 0), ("ask", 2), ("tell", 1), ("ask", 3)]
    assert sorted(order) == sorted([(what, number) for what in ("ask", "tell") for number in range(4)])


@pytest.mark.parametrize("members", [1, 2, 5])
def test_no_more_than_k_are_under_way(data: TrainingData, members: int) -> None:
    study = Script(rates(*(0.001 * (1 + number) for number in range(9))), pruned={2: 1, 3: 2, 4: 1, 7: 3})
    trained(study, params_with(), data, members)
    changes = [{"ask": 1, "tell": -1}.get(what, 0) for what, _ in study.events]
    assert max(accumulate(changes)) == members
    assert sum(changes) == 0


def test_one_by_one_there_are_no_packs(data: TrainingData, packs: Packs) -> None:
    ended = trained(Script(rates(0.01, 0.02), pruned={0: 1}), params_with(), data, 1)
    assert packs.history == [[[0.01]], [[0.02]]]
    assert [each.record.state for each in ended] == ["pruned", "complete"]


def test_what_is_not_made_for_packs_trains_alone(
    data: TrainingData, packs: Packs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "can_pack", lambda params: params.train.precision == "fp32")
    values = [{"train.precision": kind, "optim.lr": 0.01} for kind in ("bf16", "bf16", "fp32", "fp32")]
    ended = trained(Script(values), params_with("train.epochs=1"), data, 4)
    assert [each.record.state for each in ended] == ["complete"] * 4
    assert sorted(packs.history) == [[[0.01]], [[0.01]], [[0.01, 0.01]]]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the fork of a process that has trained cannot train")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_processes_try_the_same_trials_and_each_becomes_the_same(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """Of convolutions, two train at once, whatever their shapes; values that do not fit are failed trials."""
    together: list[int] = []
    begin_at = Cores.begin

    def noted(cores: Cores, members: Sequence[Params], size: Size, **how: Any) -> SharedTraining:
        together.append(max([len(members), *together]))
        return begin_at(cores, members, size, **how)

    monkeypatch.setattr(Cores, "begin", noted)
    params = params_with("data.name=digits", f"model.name={model}", "model.channels=[2]", "train.batch_size=48")
    params = params.replace({"train.threads": None})
    data = load_training_data(params, prepared / "digits")
    values = [
        {"optim.lr": 0.01},
        {"train.batch_size": 40},
        {"optim.lr": 0.02},
        {"optim.lr": 0.03},
        {"loss.name": "bce"},
    ]
    found = []
    for processes in (1, 2):
        with Cores(data, processes) as cores:
            together.clear()
            ended = trained(Script(values, pruned={0: 2}), params, data, 4 if model == "mlp" else 1, cores)
        assert together[-1] == (3 if model == "mlp" else processes)  # that share a batch size, or one in each
        found.append({each.record.number: each for each in ended})
    assert [found[0][k].record.state for k in range(5)] == ["pruned", "complete", "complete", "complete", "failed"]
    assert "bce" in found[0][4].record.failure
    for number, one in found[0].items():
        two = found[1][number]
        assert (two.record.history, two.record.best) == (one.record.history, one.record.best)
        for ours, theirs in zip(two.models, one.models, strict=True):
            assert ours.weights.keys() == theirs.weights.keys()
            assert all(torch.equal(ours.weights[name], value) for name, value in theirs.weights.items())


def test_a_pack_shrinks_when_the_study_has_no_more(data: TrainingData, packs: Packs) -> None:
    study = Script(rates(0.01, 0.02, 0.03), pruned={0: 1, 2: 3})
    ended = {each.record.number: each for each in trained(study, params_with(), data, 3)}
    assert packs.history == [[[0.01, 0.02, 0.03], [0.02, 0.03], [0.02]]]
    for number, epochs in enumerate([1, 4, 3]):
        assert_as_alone(ended[number], params_with(), data, epochs)


def test_trials_of_several_shapes_are_grouped(data: TrainingData, packs: Packs) -> None:
    widths = [[4], [6], [4], [6], [4], [6], [4]]
    values = [{"model.hidden": width, "optim.lr": 0.01 * (1 + number)} for number, width in enumerate(widths)]
    ended = trained(Script(values, pruned={0: 1}), params_with(), data, 4)
    assert sorted(each.record.number for each in ended) == list(range(7))
    by_rate = {0.01 * (1 + number): width for number, width in enumerate(widths)}
    for history in packs.history:
        for members in history:
            assert len({tuple(by_rate[rate]) for rate in members}) == 1
            assert len(members) <= 4
    assert max(len(members) for history in packs.history for members in history) >= 3
    for each in ended:
        assert_as_alone(each, params_with(), data, 1 if each.record.number == 0 else None)


def test_trials_that_wait_for_others_of_their_kind_are_not_forgotten(data: TrainingData) -> None:
    values = [{"train.batch_size": 2 ** (4 + number % 3)} for number in range(10)]
    ended = trained(Script(values), params_with("train.epochs=1"), data, 4)
    assert sorted(each.record.number for each in ended) == list(range(10))


def test_more_of_a_kind_than_there_is_room_for_wait(data: TrainingData, packs: Packs) -> None:
    widths = [[4], [4], [6], [6], [4], [6], [6], [6]]
    values = [{"model.hidden": width, "optim.lr": 0.01 * (1 + number)} for number, width in enumerate(widths)]
    ended = trained(Script(values, pruned={0: 1, 2: 2, 3: 3}), params_with(), data, 4)
    assert sorted(each.record.number for each in ended) == list(range(8))


def test_a_trial_that_comes_after_there_was_none_is_trained(data: TrainingData) -> None:
    """As when another process dies meanwhile, whose trials are given back."""
    study, calls = Script(rates(0.01)), iter([False])
    ask = study.ask

    def late(count: int, *, waits: bool = False) -> list[Trial]:
        return ask(count) if next(calls, True) else []

    study.ask = late  # type: ignore[method-assign]
    ended = trained(study, params_with(), data, 2)
    assert len(ended) == sum(what == "ask" for what, _ in study.events)


def test_nothing_is_waited_for_while_others_wait_for_a_trial_of_ours(data: TrainingData) -> None:
    bad = {"model.norm": "group", "model.groups": 3}
    study, waited = Script([bad, *rates(0.01), bad]), []
    ask = study.ask

    def noted(count: int, *, waits: bool = False) -> list[Trial]:
        events = [what for what, _ in study.events]
        if waits:
            waited.append(events.count("ask"))
            assert events.count("ask") == events.count("tell")
        return ask(count)

    study.ask = noted  # type: ignore[method-assign]
    ended = trained(study, params_with(), data, 1)
    assert [each.record.number for each in ended] == [0, 1, 2]
    assert waited[0] == 0
    assert waited[-1] == 3


def test_values_that_contradict_each_other_are_a_failed_trial(data: TrainingData, packs: Packs) -> None:
    good, bad = {"model.norm": "batch", "model.groups": 4}, {"model.norm": "group", "model.groups": 3}
    study = Script([good, bad, good, bad], pruned={0: 1})
    ended = {each.record.number: each for each in trained(study, params_with(), data, 3)}
    assert sorted(number for what, number in study.events if what == "tell") == [0, 1, 2, 3]
    assert [ended[number].record.state for number in range(4)] == ["pruned", "failed", "complete", "failed"]
    for number in (1, 3):
        record, models = ended[number]
        assert "model.groups" in record.failure
        assert (record.history, record.best, record.best_epoch, models) == ([], None, 0, ())
        assert (record.config["model"]["norm"], record.config["model"]["groups"]) == ("group", 3)
        assert record.config["train"]["monitor"] == "val/loss"


def test_nothing_but_contradictions_ends(data: TrainingData) -> None:
    bad = {"model.norm": "group", "model.groups": 3}
    ended = trained(Script([bad] * 3), params_with(), data, 2)
    assert [(each.record.number, each.record.state) for each in ended] == [(k, "failed") for k in range(3)]


def test_what_does_not_fit_the_data_is_a_failed_trial(prepared: Path) -> None:
    params = load_params(PARAMS_FILE, ["data.name=diabetes", "model.hidden=[4]", "train.epochs=3"])
    data = load_training_data(params, prepared / "diabetes")
    data = data._replace(train=data.train._replace(y=data.train.y - 100))  # targets below zero
    study = Script([{"loss.name": name} for name in ("mse", "msle", "mse", "msle", "msle")])
    ended = {each.record.number: each.record for each in trained(study, params, data, 2)}
    assert [ended[number].state for number in range(5)] == ["complete", "failed", "complete", "failed", "failed"]
    for number in (1, 3, 4):
        assert "loss.name msle needs targets >= 0" in ended[number].failure
        assert ended[number].config["loss"]["name"] == "msle"


def test_a_member_that_blows_up_fails_alone(data: TrainingData) -> None:
    params = params_with("optim.name=sgd", "model.norm=none", "model.dropout=0")
    ended = {each.record.number: each for each in trained(Script(rates(0.01, 1e30, 0.02)), params, data, 3)}
    assert [ended[number].record.state for number in range(3)] == ["complete", "failed", "complete"]
    failed = ended[1].record
    assert " in epoch 1" in failed.failure
    assert not np.isfinite(list(failed.history[-1].values())).all()
    assert len(failed.history) == 1
    for number in (0, 2):
        assert_as_alone(ended[number], params, data)


def test_a_failure_is_not_reported(data: TrainingData) -> None:
    study = Script(rates(1e30))
    params = params_with("optim.name=sgd", "model.norm=none")
    (ended,) = trained(study, params, data, 1)
    assert ended.record.state == "failed"
    assert study.reports == {}


def test_a_trial_at_its_end_is_not_pruned(data: TrainingData) -> None:
    ended = trained(Script(rates(0.01, 0.02), pruned={0: 4, 1: 4}), params_with(), data, 2)
    assert [each.record.state for each in ended] == ["complete", "complete"]


def test_a_pack_has_its_threads_after_a_single_model(data: TrainingData, packs: Packs) -> None:
    values = [{"model.hidden": width, "optim.lr": 0.01} for width in ([4], [6], [6])]
    study = Script(values)
    list(train_trials(study, params_with("train.epochs=1"), data, Size(1, 2, 0.0), Cores(data)))  # type: ignore[arg-type]
    study = Script([values[0], *values, *values, values[0]])
    list(train_trials(study, params_with("train.epochs=1"), data, Size(3, 2, 0.0), Cores(data)))  # type: ignore[arg-type]
    assert packs.threads
    assert set(packs.threads) == {2}
    torch.set_num_threads(1)


def test_records_are_written_before_the_study_is_told(data: TrainingData, tmp_path: Path) -> None:
    study = Script(rates(0.01, 0.02, 0.03), pruned={0: 1})
    seen: list[tuple[Path, TrialRecord]] = []
    tell = study.tell

    def told(number: int, state: str, best: float | None) -> None:
        assert read_record(tmp_path / "trials" / str(number)).best == best
        tell(number, state, best)

    study.tell = told  # type: ignore[method-assign]
    for folder, record in record_trials(study, params_with(), data, Size(2, 1, 0.0), tmp_path / "trials", Cores(data)):  # type: ignore[arg-type]
        assert ("tell", record.number) in study.events
        assert read_record(folder) == record
        assert (folder / "best.safetensors").exists()
        assert record.started <= record.ended
        seen.append((folder, record))
    assert sorted(int(folder.name) for folder, _ in seen) == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "epochs", "warmup"),
    [
        (["tune.max_steps=null"], 4, 0),
        (["tune.max_steps=11"], 2, 0),  # of 5 steps: 144 rows by 32
        (["tune.max_steps=1"], 1, 0),
        (["tune.max_steps=11", "schedule.warmup_epochs=3"], 2, 1),
        (["tune.max_steps=11", "train.batch_size=16"], 1, 0),
        (["tune.max_steps=1000"], 4, 0),
    ],
)
def test_max_steps_cut_a_trial_to_whole_epochs(
    data: TrainingData, changes: list[str], epochs: int, warmup: int
) -> None:
    params = shortened(params_with(*changes), data)
    assert (params.train.epochs, params.schedule.warmup_epochs) == (epochs, warmup)


@pytest.mark.parametrize("kind", ["images", "maps"])
def test_trials_on_images_are_cut_and_those_on_tables_are_not(kind: str, data: TrainingData) -> None:
    images = data._replace(meta=data.meta.model_copy(update={"kind": kind}))
    params = params_with("tune.max_steps=auto", "train.epochs=900")
    assert shortened(params, data).train.epochs == 900
    assert shortened(params, images).train.epochs == 1000 // 5


def test_a_trial_says_where_its_values_come_from(data: TrainingData) -> None:
    with pytest.raises(WellfitError, match=r"model.groups .*trial 7"):
        of_trial(params_with(), Trial(7, {"model.norm": "group", "model.groups": 3}), data)


@pytest.mark.parametrize(("sampler", "most"), [("tpe", 8), ("gp", 8), ("cmaes", 8), ("random", 16), ("grid", 16)])
def test_all_trials_are_one_pack_where_none_is_proposed_by_what_others_brought(sampler: str, most: int) -> None:
    params = params_with("tune.n_trials=20", f"tune.sampler={sampler}", "tune.space={model: {dropout: [0.1, 0.2]}}")
    assert sizes_of_study(params)[-1] == most
    assert most_processes(params) == most // 2
