from typing import Any

import pytest
import torch

from wellfit.data.meta import Meta
from wellfit.models.head import class_logits
from wellfit.training.loss import head_width


@pytest.mark.parametrize(
    ("loss", "task", "classes", "width"),
    [
        ("auto", "classification", "abc", 3),
        ("focal", "classification", "ab", 2),
        ("bce", "classification", "ab", 1),
        ("auto", "regression", "", 1),
        ("huber", "regression", "", 1),
    ],
)
def test_one_output_a_class_or_one(loss: str, task: Any, classes: str, width: int) -> None:
    assert head_width(loss, Meta.model_construct(task=task, class_names=tuple(classes))) == width


def test_a_single_logit_is_that_of_the_second_class() -> None:
    logit = torch.randn(4, 5, 1)
    both = class_logits(logit)
    assert both.shape == (4, 5, 2)
    torch.testing.assert_close(both.softmax(-1)[..., 1], logit[..., 0].sigmoid())
    many = torch.randn(4, 3)
    assert class_logits(many) is many
