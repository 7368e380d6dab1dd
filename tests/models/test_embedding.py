import math
import warnings
from typing import Any

import pytest
import rtdl_num_embeddings as rtdl
import torch
from torch import Tensor, nn

from wellfit.data.prepare import column_quantiles
from wellfit.errors import WellfitError
from wellfit.models import ModelConfig, build_model
from wellfit.models.embedding import (
    CategoryEmbedding,
    Cosine,
    LinearByColumn,
    Periodic,
    PiecewiseLinear,
    TableColumns,
    column_embedding,
)
from wellfit.models.packed import change_members, member_state, packed
from wellfit.settings.params import load_params

from ..conftest import PLAIN

MODEL = load_params(overrides=PLAIN).model


def config(**changes: Any) -> ModelConfig:
    return ModelConfig.model_validate(MODEL.model_dump() | {"norm": "none", "dropout": 0.0, "hidden": (6, 4)} | changes)


def columns(x: Tensor, flags: int = 0, categories: tuple[int, ...] = ()) -> TableColumns:
    return TableColumns(torch.tensor(column_quantiles(x.numpy())), flags, categories, len(x))


def rows(n: int = 1025) -> Tensor:
    """A column of many values, one of five, one of two."""
    torch.manual_seed(0)
    return torch.stack([torch.randn(n), torch.arange(n) % 5 / 2.0, (torch.arange(n) % 3 == 0).float()], 1)


def by_column(x: Tensor) -> Tensor:
    """From (n, columns, features), as the package has it, to ours."""
    return x.movedim(0, -1)


@pytest.mark.parametrize("bins", [1, 2, 8, 64])
def test_ple_is_that_of_its_authors(bins: int) -> None:
    x = rows()
    ours = PiecewiseLinear(columns(x).steps, bins)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a single bin, which they allow
        edges = rtdl.compute_bins(x, bins) if bins > 1 else [torch.stack(c.aminmax()) for c in x.t()]
        theirs = rtdl.PiecewiseLinearEncoding(edges)
    beyond = torch.cat([x, x * 3 - 1, x * 1e6])
    encoded, start = ours(beyond.t()), 0
    expected = theirs(beyond)
    for column, each in enumerate(edges):
        n = len(each) - 1
        bounded = expected[:, start : start + n].clamp(-1, 2)  # theirs goes on for ever
        torch.testing.assert_close(encoded[column, :n].t(), bounded, atol=1e-4, rtol=1e-4)
        assert not encoded[column, n:].any(), "a bin that the column lacks"
        start += n
    assert start == expected.shape[1]


def test_a_constant_column_encodes_nothing() -> None:
    x = torch.cat([rows(), torch.full((1025, 1), 7.0)], 1)
    encoded = PiecewiseLinear(columns(x).steps, 4)(torch.cat([x, x + 1]).t())
    assert encoded.isfinite().all()
    assert not encoded[3].any()


def test_periodic_is_that_of_its_authors() -> None:
    x = rows()
    theirs = rtdl.PeriodicEmbeddings(3, 5, n_frequencies=4, frequency_init_scale=0.3, lite=False)
    ours, linear = Periodic(3, 4, 0.3), LinearByColumn(3, 8, 5)
    with torch.no_grad():
        ours.frequencies.copy_(theirs.periodic.weight.flatten())
        linear.weights.copy_(theirs.linear.weight.transpose(1, 2).flatten())  # theirs are (columns, in, out)
        linear.biases.copy_(theirs.linear.bias.flatten())
    torch.testing.assert_close(ours(x.t()), by_column(theirs.periodic(x)))
    torch.testing.assert_close(linear(ours(x.t())), by_column(theirs(x)))
    toward = torch.randn(len(x), 3, 5)
    (linear(ours(x.t())) * by_column(toward)).sum().backward()
    (theirs(x) * toward).sum().backward()
    torch.testing.assert_close(ours.frequencies.grad, theirs.periodic.weight.grad.flatten(), atol=1e-4, rtol=1e-4)


def test_cosines_have_learned_frequencies_phases_and_weights() -> None:
    torch.manual_seed(0)
    embedding, x = Cosine(2, 3, 0.5), torch.randn(2, 7)
    assert not embedding(x).any(), "the weights begin at zero"
    for parameter in embedding.parameters():
        nn.init.normal_(parameter)
    f, p, w, b = (each.detach().view(2, 3) for each in embedding.parameters())
    expected = [
        [[b[c, i] + w[c, i] * math.cos(2 * math.pi * (f[c, i] * value + p[c, i])) for value in x[c]] for i in range(3)]
        for c in range(2)
    ]
    torch.testing.assert_close(embedding(x), torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("embedding", [Periodic, Cosine])
def test_first_frequencies_have_the_scale_that_is_asked_for(embedding: Any) -> None:
    torch.manual_seed(0)
    first = embedding(50, 100, 0.2).frequencies
    assert first.std().item() == pytest.approx(0.2, rel=0.05)
    assert first.abs().max().item() <= 0.6


def test_a_category_is_its_vector_and_an_unknown_one_is_zero() -> None:
    embedding = CategoryEmbedding([4, 9], "auto")
    assert embedding.widths == [round(1.6 * 4**0.56), round(1.6 * 9**0.56)]
    embedding = CategoryEmbedding([2, 3], 5)
    one_hot = torch.tensor([[0.0, 1, 0, 0, 1], [0, 0, 1, 0, 0]]).t()
    encoded = embedding(one_hot)
    first, second = (vectors.detach().view(5, -1) for vectors in embedding.vectors)
    torch.testing.assert_close(encoded[:, 0], torch.cat([first[:, 1], second[:, 2]]))
    torch.testing.assert_close(encoded[:, 1], torch.cat([torch.zeros(5), second[:, 0]]))


EMBEDDED: list[dict[str, Any]] = [
    {"embedding": "ple"},
    {"embedding": "ple", "embedding_size": 3, "embedding_input": False},
    {"embedding": "ple", "embedding_width": 2},
    {"embedding": "periodic", "embedding_size": 3},
    {"embedding": "periodic", "embedding_width": 4, "category": "embedding"},
    {"embedding": "cosine", "embedding_input": False},
    {"embedding": "cosine", "embedding_width": 2, "category": "embedding", "category_width": 3},
    {"category": "embedding"},
]


@pytest.mark.parametrize("changes", EMBEDDED, ids=str)
def test_a_pack_is_each_of_its_members(changes: dict[str, Any]) -> None:
    table = columns(rows(), flags=1, categories=(2, 3))

    def network(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return build_model(config(**changes), (9,), 3, table)

    alone = [network(seed) for seed in (3, 1, 2)]
    for one in alone:
        for parameter in one.parameters():
            parameter.data.add_(0.1 * torch.randn(parameter.shape))
    model = packed(alone)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    x = torch.randn(3, 8, 9)
    outputs = model(x)
    outputs.square().sum().backward()
    for k, one in enumerate(alone):
        expected = one(x[k])
        expected.square().sum().backward()
        torch.testing.assert_close(outputs[k], expected)
        state = member_state(model, k)
        assert list(state) == list(one.state_dict())
        for name, parameter in one.named_parameters():
            torch.testing.assert_close(dict(model.named_parameters())[name].grad[k], parameter.grad)
    change_members(model, [2, 0], packed([alone[1]]))
    torch.testing.assert_close(model(x), torch.stack([alone[k](x[i]) for i, k in enumerate((2, 0, 1))]))


@pytest.mark.parametrize("changes", EMBEDDED, ids=str)
def test_all_that_an_embedding_learns_changes_the_output(changes: dict[str, Any]) -> None:
    table = columns(rows(), flags=1, categories=(2, 3))
    embedding = column_embedding(config(**changes), table)
    assert embedding is not None
    for parameter in embedding.parameters():
        assert parameter.ndim == 1, "neither decayed nor orthogonalized"
        nn.init.uniform_(parameter, 0.1, 1)
    x = torch.randn(5, 9, requires_grad=True)
    outputs = embedding(x)
    assert outputs.shape == (5, embedding.width)
    (outputs * torch.randn_like(outputs)).sum().backward()
    assert all(parameter.grad.any() for parameter in embedding.parameters())


def test_what_stands_where_in_an_encoded_row() -> None:
    table, x = columns(rows(), flags=1, categories=(2,)), torch.randn(5, 6)
    embedding = column_embedding(config(embedding="ple", embedding_size=4), table)
    assert embedding is not None
    encoded = embedding(x)
    torch.testing.assert_close(encoded[:, :3], x[:, :3])
    torch.testing.assert_close(encoded[:, -3:], x[:, 3:])
    torch.testing.assert_close(encoded[:, 3:-3], embedding.features(x[:, :3].t()).flatten(0, 1).t())
    without = column_embedding(config(embedding="ple", embedding_size=4, embedding_input=False), table)
    assert without is not None
    torch.testing.assert_close(without(x), encoded[:, 3:])


def test_nothing_is_embedded_where_there_is_nothing_to_embed() -> None:
    only_categories = TableColumns(torch.zeros(0, 0), 0, (2, 3), 10)
    assert column_embedding(config(), columns(rows())) is None
    assert column_embedding(config(category="embedding"), columns(rows())) is None
    embedding = column_embedding(config(embedding="ple"), only_categories)
    assert embedding is not None
    x = torch.randn(4, 5)
    torch.testing.assert_close(embedding(x), x)


def test_a_linear_model_stays_linear() -> None:
    model = build_model(config(name="linear", embedding="ple"), (3,), 1, columns(rows()))
    x = rows()
    torch.testing.assert_close(model.eval()(x * 2) - model(x), model(x) - model(x * 0))


def test_bins_are_left_to_the_rows_and_may_not_exceed_the_values() -> None:
    for n, bins in ((4000, 32), (160, 10), (8, 1)):
        embedding = column_embedding(config(embedding="ple"), columns(torch.randn(n, 1)))
        assert embedding is not None
        assert embedding.width == 1 + bins
    few = columns(rows()[:, 1:])
    with pytest.raises(WellfitError, match=r"model.embedding_size must be at most 4, .* 5 distinct .*, got 5"):
        column_embedding(config(embedding="ple", embedding_size=5), few)
    assert column_embedding(config(embedding="ple", embedding_size=4), few) is not None
