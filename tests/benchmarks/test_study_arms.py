"""The arms of benchmarks/tuning.py."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from wellfit.training.setup import begin


@pytest.mark.parametrize("dataset", ["moons", "digits"])
def test_all_arms_train_the_same_network(
    dataset: str, load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = load("study_arms")
    monkeypatch.chdir(Path(arms.__file__ or "").parents[1])  # where params.yaml is
    (case,) = (case for case in arms.CASES if case.dataset == dataset)
    problem = arms.prepare_case(case, tmp_path)
    expected = [tensor.shape for tensor in arms.Usual(problem, arms.CURRENT).model.parameters()]
    searched = problem.params.tune.space.items()
    assert {f"{section}.{key}" for section, keys in searched for key in keys} == set(arms.SPACE)
    plain, pack = (begin([problem.params], problem.data, packed=packed).learner.model for packed in (False, True))
    assert [tensor.shape for tensor in plain.parameters()] == expected
    assert [tensor[0].shape for tensor in pack.parameters()] == expected


def test_scikit_learn_trains_what_the_study_has_tried(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms, peers = load("study_arms"), load("study_peers")
    monkeypatch.chdir(Path(arms.__file__ or "").parents[1])
    problem = arms.prepare_case(arms.CASES[0], tmp_path, epochs=2)
    x, y = (tensor.numpy() for tensor in problem.loaders[0].dataset[:])
    settings = (problem.case.loss, problem.case.hidden, problem.case.batch_size, 2)
    losses = [peers._fit((x, y, settings, lr, 1e-4)) for lr in (1e-9, 3e-3)]
    assert losses[0] == pytest.approx(np.log(2), abs=0.2)
    assert losses[1] < losses[0] - 0.1
