"""A model as one folder that holds all it needs to take new rows: ``models/<name>/``.

``weights.safetensors`` has one network or several, ``body.safetensors`` what makes features of images for
them, where there is one, ``model.json`` all else that is computed with, ``card.md`` what people should know,
``requirements.txt`` the packages. Nothing is a pickle, and each file's sha256 is checked when it is
read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

import wellfit
from wellfit.data.features import BODY
from wellfit.data.meta import Meta
from wellfit.data.readers.csv_shape import SEPARATORS
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError
from wellfit.files import from_json, replacing, write_bytes, write_text
from wellfit.manifest import OTHER_VERSION, file_sha256, sealed, unsealed
from wellfit.metrics.decision import Decision
from wellfit.models import MODELS, TIMM
from wellfit.serving.model import CPU, TrainedModel
from wellfit.serving.predictor import Predictor
from wellfit.serving.profile import Profile
from wellfit.serving.rows import Reading
from wellfit.training.checkpoint import Checkpoint, load_checkpoints, save_checkpoints

if TYPE_CHECKING:
    import torch

    from wellfit.models.pretrained import Frozen

DESCRIPTION, WEIGHTS, CARD, REQUIREMENTS = "model.json", "weights.safetensors", "card.md", "requirements.txt"
# What wellfit.load imports, and predicting with it; nothing of training, tuning and tracking.
PACKAGES = (
    *("filelock", "numpy", "pandas", "pillow", "pyarrow", "pydantic"),
    *("ruamel.yaml", "safetensors", "scipy", "torch", "tqdm"),
)


class Description(BaseModel):
    """What ``model.json`` says.

    Attributes:
        format: of the folder; rises when older versions cannot read it any more.
        wellfit: the version that wrote it.
        reading: how new rows are read; None for images.
        decision: how outputs become predictions.
        meta: of the data that the model was trained on.
        profile: what the training rows were.
        files: sha256 of each other file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1]
    wellfit: str
    reading: Reading | None
    decision: Decision
    meta: Meta
    profile: Profile
    files: dict[str, str]


def describe_reading(data: DataConfig, meta: Meta) -> Reading | None:
    """How new rows are read that look like those of the training.

    Args:
        data: the section ``data``.
        meta: of the data.
    """
    if meta.kind == "images":
        return None
    own = data.entry.is_own_table
    named = [data.target, data.weight, data.group, data.time, *data.drop] if own else []
    return Reading(
        missing=data.missing,
        separator=SEPARATORS[data.separator if own else "comma"],
        encoding=data.encoding if own else None,
        id=data.id if own else None,
        others=tuple(dict.fromkeys([meta.target_name, *filter(None, named), *meta.left_out])),
    )


def save_model(
    folder: Path,
    models: Sequence[Checkpoint],
    meta: Meta,
    decision: Decision,
    reading: Reading | None,
    profile: Profile,
    card: str,
    body: Frozen | None = None,
) -> None:
    """Writes a model so that a reader, or a crash, finds the old folder or the new one.

    Args:
        folder: such as ``models/digits``.
        models: what predicts; where there are several, ``share`` of their info is how much each counts.
        meta: of the data that they were trained on.
        decision: how their outputs become predictions.
        reading: how new rows are read; None for images.
        profile: what the training rows were.
        card: Markdown.
        body: what makes features or maps of images, where the models take those.
    """
    with replacing(folder) as new:
        save_checkpoints(new / WEIGHTS, models)
        if body is not None:
            from wellfit.models.pretrained import safetensors_of

            write_bytes(new / BODY, safetensors_of(body))
        write_text(new / CARD, card)
        write_text(new / REQUIREMENTS, requirements(models, meta))
        files = {path.name: file_sha256(path) for path in sorted(new.iterdir())}
        description = Description(
            format=1,
            wellfit=wellfit.__version__,
            reading=reading,
            decision=decision,
            meta=meta,
            profile=profile,
            files=files,
        )
        write_text(new / DESCRIPTION, sealed(description.model_dump(mode="json")))


def load_model_folder(folder: Path, device: torch.device = CPU) -> Predictor:
    """Reads a model and checks it.

    Args:
        folder: as `save_model` wrote it, wherever it lies now.
        device: where it is to compute.

    Raises:
        WellfitError: a file is missing, damaged or of another version.
    """
    path = folder / DESCRIPTION
    description = _read(path)
    for name, sha256 in description.files.items():
        if Path(name).name != name:
            raise WellfitError(f"{path} names {name[:100]!r}, which is no file beside it: get the folder anew")
        if not (folder / name).is_file():
            raise WellfitError(f"{folder / name} not found, though {DESCRIPTION} names it: get the whole folder anew")
        if file_sha256(folder / name) != sha256:
            raise WellfitError(f"{folder / name} is damaged (its sha256 is not the one of {DESCRIPTION}): get it anew")
    checkpoints, body = load_checkpoints(folder / WEIGHTS), None
    if BODY in description.files:
        from wellfit.models.pretrained import load_body

        body = load_body(folder / BODY, checkpoints[0].info["config"]["model"], description.meta.input_shape)
    model = TrainedModel(checkpoints, description.meta, body, device)
    return Predictor(model, description.meta, description.decision, description.reading, description.profile)


def requirements(models: Sequence[Checkpoint], meta: Meta) -> str:
    """The packages that predict, pinned, a line each as pip takes them."""
    extra = ["scikit-learn"] if any(source.kind == "text" for source in meta.sources) else []
    names = {checkpoint.info["config"]["model"]["name"] for checkpoint in models}
    of_timm = {name for name in names if name.startswith(TIMM)}
    extra += ["timm"] if of_timm else []
    extra += ["torchvision"] if of_timm or any(MODELS[name].builder.startswith("vision:") for name in names) else []
    pins = [f"{package}=={version(package).partition('+')[0]}" for package in (*PACKAGES, *extra)]
    return "\n".join(sorted(pins)) + "\n"


def _read(path: Path) -> Description:
    try:
        text = path.read_text(encoding="utf-8")
        content = from_json(text)
        if content.get("format") != 1:
            raise WellfitError(f"{path} is of another version ({content['wellfit']}): use that one to read it")
        sealed_content = json.dumps(unsealed(text))
    except (FileNotFoundError, NotADirectoryError):
        raise WellfitError(f"{path.parent} holds no model: {path.name} not found; `dvc repro` makes it") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise WellfitError(f"{path} is damaged: get the folder anew, or make it with `dvc repro`") from None
    try:
        return Description.model_validate_json(sealed_content)
    except ValidationError:
        raise WellfitError(f"{path} {OTHER_VERSION}, {content.get('wellfit')}: use that one, or `dvc repro`") from None
