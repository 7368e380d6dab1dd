"""What networks say all over the plane, where the data have two features and two classes."""

from collections.abc import Sequence

import numpy as np
import torch

from wellfit.charts.comparison_plots import Boundaries
from wellfit.compare.outcome import kept_weights
from wellfit.compare.train import Job
from wellfit.data.meta import Meta
from wellfit.models.head import class_logits
from wellfit.models.predict import predict
from wellfit.training.learner import Learner
from wellfit.training.setup import TrainingData
from wellfit.training.tensors import Tensors

POINTS = 200  # of the grid, along each axis
MARGIN = 0.1  # of the range of the rows, on each side


def has_boundaries(meta: Meta) -> bool:
    """Whether the rows are points of a plane, of two classes."""
    return meta.kind == "table" and meta.input_shape == (2,) and not meta.category_counts and len(meta.class_names) == 2


def find_boundaries(jobs: Sequence[Job], data: TrainingData, test: Tensors) -> Boundaries:
    """Probabilities of class 1 on a grid that holds all training and test rows.

    Args:
        jobs: a training of each variant that is drawn, which has ended well.
        data: what they were trained on.
        test: the rows that are drawn.
    """
    rows = torch.cat([data.train.x, test.x])
    low, high = rows.amin(0), rows.amax(0)
    margin = MARGIN * (high - low)
    x, y = (torch.linspace(a, b, POINTS) for a, b in zip(low - margin, high + margin, strict=True))
    grid = torch.cartesian_prod(y, x).flip(1).to(rows.device)  # (POINTS ** 2, 2), x runs fastest
    probabilities = {}
    for job in jobs:
        learner = Learner([job.params], *data, packed=False)
        learner.model.load_state_dict(kept_weights(job.folder))
        outputs = class_logits(predict(learner.model, learner.inputs, grid).float())
        probabilities[job.variant] = outputs.softmax(-1)[:, 1].cpu().numpy().reshape(POINTS, POINTS)
    return Boundaries(
        x=x.numpy(),
        y=y.numpy(),
        probabilities=probabilities,
        points=test.x.cpu().numpy(),
        classes=np.asarray(test.y.cpu()),
    )
