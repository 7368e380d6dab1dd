"""Networks that do not fit into memory are refused before they are built."""

from collections.abc import Callable
from pathlib import Path

import pytest

from wellfit.errors import WellfitError
from wellfit.models import EMBEDDINGS
from wellfit.settings.params import Params
from wellfit.training import memory
from wellfit.training.cores import Cores
from wellfit.training.setup import TrainingData, begin, check_can_train, load_training_data
from wellfit.training.size import choose_size, processes_for

MakeParams = Callable[..., Params]
Processed = Callable[..., Path]
WIDE = "model.hidden=[100000, 100000]"


@pytest.fixture
def data(processed: Processed, make_params: MakeParams) -> TrainingData:
    return load_training_data(make_params(), processed())


def test_a_network_that_does_not_fit_is_refused(data: TrainingData, make_params: MakeParams) -> None:
    fault = r"^model.hidden \[100000, 100000\] needs 1\d\d\.\d GiB of memory, but there are \d+\.\d; make the network"
    for refuse in (check_can_train, lambda params, data: begin([params], data, packed=True)):
        with pytest.raises(WellfitError, match=fault):
            refuse(make_params("table", WIDE), data)


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("kind", ["table", "images"])
def test_the_bytes_are_those_of_the_network(
    processed: Processed, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch, kind: str, embedding: str
) -> None:
    params = make_params(kind, "model.name=cnn") if kind == "images" else make_params(f"{kind}")
    params = params.replace({"model.embedding": embedding, "model.init": "orthogonal"})
    data = load_training_data(params, processed(kind))
    model = begin([params], data, packed=False).learner.model
    needed = memory.COPIES * 4 * sum(parameter.numel() for parameter in model.parameters())
    monkeypatch.setattr(memory, "memory_bytes", lambda: needed)
    memory.check_memory(params, data)
    monkeypatch.setattr(memory, "memory_bytes", lambda: needed - 1)
    with pytest.raises(WellfitError, match="make the network smaller"):
        memory.check_memory(params, data)


def test_no_more_members_train_at_once_than_fit(
    data: TrainingData, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = make_params().replace({"train.threads": None})
    monkeypatch.setattr("wellfit.training.size.core_count", lambda: 8)
    monkeypatch.setattr("wellfit.training.size.fastest", lambda measure, sizes, uses: sizes)
    monkeypatch.setattr("wellfit.training.size.write_text", lambda *_: None)
    monkeypatch.setattr("wellfit.training.size.most_members", lambda *_: 5)
    assert processes_for(params, data, 32) == 5
    assert choose_size(params, data, [1, 4, 8], Cores(data)) == [1, 4]


def test_the_outputs_of_an_epoch_take_memory_too(
    data: TrainingData, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, n = make_params(), len(data.train.y)
    classes = len(data.meta.class_names)
    of_each = memory._bytes_of_network(params, data) + memory.ROW_COPIES * n * (8 + 4 * classes)
    monkeypatch.setattr(memory, "memory_bytes", lambda: 7 * of_each)
    assert memory.most_members(params, data) == 7
    monkeypatch.setattr(memory, "memory_bytes", lambda: 7 * of_each - 1)
    assert memory.most_members(params, data) == 6
