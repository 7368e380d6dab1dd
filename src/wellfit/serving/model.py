"""The trained model: from rows as they are stored to probabilities, or to numbers in the target's unit."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from wellfit.data.store import Meta
from wellfit.data.target import in_own_unit
from wellfit.errors import WellfitError
from wellfit.models import ModelConfig, build_model
from wellfit.models.head import class_logits
from wellfit.models.inputs import Inputs
from wellfit.models.predict import predict
from wellfit.training.checkpoint import Checkpoint, load_checkpoint
from wellfit.training.loss import head_width

CHECKPOINT_FILE = "best.safetensors"


class TrainedModel:
    """A network with the weights of a checkpoint.

    It computes on the CPU in fp32, whatever the training computed in, so that its predictions are those of the weights
    that are kept.

    Args:
        checkpoint: the weights, and the configuration they were trained with.
        meta: of the data they were trained on.

    Attributes:
        checkpoint: likewise.
    """

    def __init__(self, checkpoint: Checkpoint, meta: Meta) -> None:
        self.checkpoint = checkpoint
        self._meta = meta
        self._inputs = Inputs(meta, torch.device("cpu"))
        config = checkpoint.info["config"]
        width = head_width(config["loss"]["name"], meta)
        self._network = build_model(ModelConfig.model_validate(config["model"]), self._inputs.shape, width)
        self._network.load_state_dict(checkpoint.weights)

    def outputs(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Logits of all classes, (n, C), or standardized numbers, (n,).

        Args:
            rows: (n, ...) as they are stored: see `wellfit.data.store.Split.x`.
        """
        outputs = predict(self._network, self._inputs, torch.from_numpy(np.array(rows))).double()
        return (outputs[:, 0] if self._meta.task == "regression" else class_logits(outputs)).numpy()

    def predict(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities of the classes, (n, C), or numbers in the target's unit, (n,).

        They are those of the network alone: see `wellfit.metrics.decision.Decision.predictions` for what validation
        rows make of them.

        Args:
            rows: as :meth:`outputs` takes them.
        """
        outputs = self.outputs(rows)
        if self._meta.task == "regression":
            return in_own_unit(self._meta, outputs)
        probabilities: NDArray[np.float64] = softmax(outputs, axis=1)
        return probabilities


def load_model(models: Path, meta: Meta) -> TrainedModel:
    """Reads what ``train`` has left.

    Args:
        models: has ``best.safetensors``.
        meta: of the data to predict.

    Raises:
        WellfitError: a missing or damaged file, or weights that were trained on other data.
    """
    file = models / CHECKPOINT_FILE
    checkpoint = load_checkpoint(file)
    if checkpoint.info["data_sha256"] != meta.sha256:
        name = checkpoint.info["config"]["data"]["name"]
        raise WellfitError(
            f"{file} was trained on other data ({name}) than data/processed/{meta.name}: run `dvc repro train` first"
        )
    return TrainedModel(checkpoint, meta)
