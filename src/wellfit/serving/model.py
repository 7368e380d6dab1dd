"""The trained model: from rows as they are stored to probabilities, or to numbers in the target's unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from wellfit.data.meta import Meta
from wellfit.data.scratch import forget
from wellfit.data.target import in_own_unit
from wellfit.errors import WellfitError
from wellfit.files import write_text
from wellfit.interruptions import check
from wellfit.manifest import OTHER_VERSION, file_sha256, sealed, unsealed
from wellfit.models import ModelConfig, build_model
from wellfit.models.head import class_logits
from wellfit.models.inputs import Inputs, inputs_of
from wellfit.models.kept import Kept
from wellfit.models.predict import chunk_rows
from wellfit.training.checkpoint import Checkpoint, load_checkpoint, load_checkpoints
from wellfit.training.loss import head_width

if TYPE_CHECKING:
    from wellfit.models.pretrained import Frozen

CPU = torch.device("cpu")
CHECKPOINT_FILE = "best.safetensors"
ENSEMBLE_FILE = "ensemble.safetensors"
CONFIG_FILE = "config.yaml"
RUN_FILE = "run.json"


class TrainedModel:
    """A network with the weights of a checkpoint, or the mean of several: of probabilities, or of numbers.

    It computes in fp32, whatever the training computed in, so that its predictions are those of the weights that are
    kept.

    Args:
        checkpoints: the weights, and the configuration they were trained with. Where there are several, ``share`` of
            their info is how much each counts.
        meta: of the data they were trained on.
        body: what makes features or maps of stored images, where the networks take those; None: the rows are what the
            networks were trained on.
        device: where it computes.

    Attributes:
        networks: each with what makes its inputs of stored rows.
    """

    def __init__(
        self, checkpoints: Sequence[Checkpoint], meta: Meta, body: Frozen | None = None, device: torch.device = CPU
    ) -> None:
        self._meta, self._device = meta, device
        sections = [ModelConfig.model_validate(checkpoint.info["config"]["model"]) for checkpoint in checkpoints]
        # Rows are encoded once for all networks that take them alike.
        inputs: dict[str, Inputs | Frozen] = {
            section.numeric: body.to(device) if body else inputs_of(section, meta, device) for section in sections
        }
        self.networks = [
            (_network(checkpoint, section, inputs[section.numeric], meta).to(device), inputs[section.numeric])
            for checkpoint, section in zip(checkpoints, sections, strict=True)
        ]
        self._shares = [1.0] if len(checkpoints) == 1 else [float(each.info["share"]) for each in checkpoints]

    def outputs(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Logits of all classes, (n, C), or standardized numbers, (n,).

        The logits of a mean of models are the logarithms of its probabilities.

        Args:
            rows: (n, ...) as they are stored: see `wellfit.data.store.Split.x`.
        """
        size = chunk_rows(rows.shape[1:], max(getattr(each, "seen", 0) for pair in self.networks for each in pair))
        chunks, kept = [], Kept()
        for start in range(0, max(1, len(rows)), size):
            outputs = self._of_chunk(torch.from_numpy(np.array(rows[start : start + size])))
            chunks.append([kept.copy_of(each) for each in outputs])
            forget(rows)  # together they may be more than memory holds
        return self.mean([torch.cat(parts) for parts in zip(*chunks, strict=True)]).numpy()

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        """What :meth:`outputs` returns, of what each of the networks puts out, (n, outputs)."""
        doubles = [each.double() for each in outputs]
        if self._meta.task == "regression":
            numbers = [each[:, 0] * share for each, share in zip(doubles, self._shares, strict=True)]
            return torch.stack(numbers).sum(0)
        logits = [class_logits(each) for each in doubles]
        if len(logits) == 1:
            return logits[0]
        parts = [each.log_softmax(1) + math.log(share) for each, share in zip(logits, self._shares, strict=True)]
        return torch.stack(parts).logsumexp(0)

    @torch.inference_mode()
    def _of_chunk(self, rows: Tensor) -> list[Tensor]:
        """The outputs of each network, on the CPU."""
        rows = rows.to(self._device)
        is_cuda = self._device.type == "cuda"
        # Convolutions round to 10 bits there, unless they are told not to.
        with torch.backends.cudnn.flags(allow_tf32=False, deterministic=True) if is_cuda else nullcontext():
            encoded = {inputs: inputs(rows) for inputs in {inputs for _, inputs in self.networks}}
            outputs = []
            for network, inputs in self.networks:
                outputs.append(network(encoded[inputs]).cpu())
                check()
        return outputs

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


def _network(checkpoint: Checkpoint, settings: ModelConfig, inputs: Inputs | Frozen, meta: Meta) -> nn.Module:
    """The network of a checkpoint, in evaluation mode for good: a server predicts in several threads at once."""
    width = head_width(checkpoint.info["config"]["loss"]["name"], meta)
    network = build_model(settings, inputs.shape, width, inputs.columns)
    network.load_state_dict(checkpoint.weights)
    return network.eval()


class Delivered(NamedTuple):
    """What ``train`` has left.

    Attributes:
        single: of the final training alone, with folds of the one fold that is shown.
        ensemble: the mean that was chosen in its place, with folds at least that of the models of all folds; or None.
        checkpoint: of the single model.
        members: the checkpoints whose mean the ensemble is; empty where there is none.
        sources: of the models in the ensemble, and how much each counts.
    """

    single: TrainedModel
    ensemble: TrainedModel | None
    checkpoint: Checkpoint
    members: list[Checkpoint]
    sources: dict[str, float]

    @property
    def model(self) -> TrainedModel:
        """The model that predicts."""
        return self.ensemble or self.single


def load_model(models: Path, meta: Meta, device: torch.device = CPU) -> Delivered:
    """Reads what ``train`` has left.

    Args:
        models: has ``best.safetensors`` and ``ensemble.safetensors``.
        meta: of the data to predict.
        device: where it is to compute.

    Raises:
        WellfitError: a missing or damaged file, or weights that were trained on other data.
    """
    checkpoint, members = load_checkpoint(models / CHECKPOINT_FILE), load_checkpoints(models / ENSEMBLE_FILE)
    for file, each in [(CHECKPOINT_FILE, checkpoint), *((ENSEMBLE_FILE, member) for member in members)]:
        if each.info["data_sha256"] != meta.sha256:
            raise WellfitError(
                f"{models / file} was trained on other data ({each.info['config']['data']['name']}) than "
                f"data/processed/{meta.name}: run `dvc repro train` first"
            )
    ensemble = TrainedModel(members, meta, device=device) if members else None
    sources: dict[str, float] = {}
    for each in members:  # with folds, several of one source
        sources[each.info["source"]] = sources.get(each.info["source"], 0.0) + float(each.info["share"])
    return Delivered(TrainedModel([checkpoint], meta, device=device), ensemble, checkpoint, members, sources)


def write_run(models: Path, run_id: str, files: Sequence[str]) -> None:
    """Writes which run has made the files of ``models/``; they are one thing, and this is the last of it.

    Args:
        models: the folder.
        run_id: of the MLflow run.
        files: names of what the training has written there.
    """
    hashes = {name: file_sha256(models / name) for name in files}
    write_text(models / RUN_FILE, sealed({"run_id": run_id, "files": hashes}))


def training_run(models: Path) -> str:
    """The id of the MLflow run that has made the files of ``models/``.

    Raises:
        WellfitError: `write_run` has not ended, or a file is not what it was then.
    """
    path, anew = models / RUN_FILE, "run `dvc repro train`"
    if not path.is_file():
        raise WellfitError(f"{path} not found, without which {models} is no whole model: {anew}")
    try:
        found = unsealed(path.read_text(encoding="utf-8"))
        run_id, files = str(found["run_id"]), found["files"].items()
    except ValueError:
        raise WellfitError(f"{path} is not what train wrote (its sha256 differs): {anew}") from None
    except KeyError:
        raise WellfitError(f"{path} {OTHER_VERSION}: {anew}") from None
    for name, sha256 in files:
        file = models / name
        if not file.is_file() or file_sha256(file) != sha256:
            raise WellfitError(f"{file} is not what the run of {path} wrote (its sha256 differs): {anew}")
    return run_id
