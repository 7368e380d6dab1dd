"""The arms of benchmarks/tuning.py."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

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
