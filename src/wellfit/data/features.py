"""Where the stage ``features`` leaves what a pretrained network starts from: ``data/features/<name>/``.

``pretrained.json`` says which network, with which weights, on which data. ``body.safetensors`` has the weights. While
the network or its first stages are frozen, the folder is a processed data set as well (`wellfit.data.store`), whose x
are features or maps of images. For all other models it has ``pretrained.json`` alone, which names none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wellfit.data.meta import Meta
from wellfit.data.store import FEATURES, load_meta
from wellfit.errors import WellfitError
from wellfit.files import write_text
from wellfit.manifest import file_sha256, sealed, unsealed

if TYPE_CHECKING:
    from wellfit.settings.params import Params

PRETRAINED, BODY = "pretrained.json", "body.safetensors"
ANEW = "run `dvc repro features`"


class Pretrained(NamedTuple):
    """What ``pretrained.json`` says.

    Attributes:
        settings: keys of ``params.yaml`` and their values, on which the folder depends.
        data_sha256: of the processed data.
        weights: where they are from.
        weights_sha256: of their file, or of those that timm has downloaded, as a file of safetensors.
        body_sha256: of ``body.safetensors``.
    """

    settings: dict[str, Any]
    data_sha256: str
    weights: str
    weights_sha256: str
    body_sha256: str


class TrainedRows(NamedTuple):
    """The data set whose rows a network is trained on.

    Attributes:
        folder: of the processed data, or of the features or maps that are computed of them.
        meta: of that folder, bound to the pretrained weights.
        pretrained: what the network starts from; None: random weights.
    """

    folder: Path
    meta: Meta
    pretrained: Pretrained | None


def trained_on(params: Params, processed: Path) -> Path:
    """The folder of the rows that the network of ``params.yaml`` is trained on: see :func:`trained_rows`."""
    return features_folder(processed) if params.model.has_features else processed


def features_folder(processed: Path) -> Path:
    """The folder that goes with processed data: ``data/features/<name>`` with ``data/processed/<name>``."""
    return processed.parents[1] / FEATURES / processed.name


def save_pretrained(folder: Path, said: Pretrained | None) -> None:
    """Writes ``pretrained.json``.

    Args:
        folder: to write into.
        said: None: no network is pretrained.
    """
    write_text(folder / PRETRAINED, sealed({"pretrained": said and said._asdict()}))


def trained_rows(params: Params, processed: Path, data: Meta) -> TrainedRows:
    """The data set whose rows the network of ``params.yaml`` is trained on.

    Args:
        params: the configuration.
        processed: ``data/processed/<name>``.
        data: of that folder.

    Raises:
        WellfitError: a pretrained network is asked for, and the stage ``features`` has not made what it starts from.
    """
    if not params.model.is_pretrained:
        return TrainedRows(processed, data, None)
    folder = features_folder(processed)
    said = load_pretrained(folder, params.pretrained_settings, data)
    if not params.model.has_features:
        # What is trained on the same rows from other weights is another training, and goes on from none of these.
        bound = data.model_copy(update={"manifest": data.manifest | {BODY: said.body_sha256}})
        return TrainedRows(processed, bound, said)
    features = load_meta(folder)
    if features.manifest.get(BODY) != said.body_sha256:
        raise WellfitError(f"{folder} holds features of another network than {folder / BODY}: {ANEW}")
    return TrainedRows(folder, features, said)


def load_pretrained(folder: Path, settings: dict[str, Any], data: Meta) -> Pretrained:
    """Reads ``pretrained.json``, and checks that the folder is what the present settings and data make.

    Args:
        folder: ``data/features/<name>``.
        settings: keys of ``params.yaml`` and their values, on which the folder depends.
        data: of the processed data.

    Raises:
        WellfitError: it is missing, damaged, or of other settings or data.
    """
    path = folder / PRETRAINED
    if not path.is_file():
        raise WellfitError(f"{path} not found, which pretrained networks start from: {ANEW}")
    try:
        content = unsealed(path.read_text(encoding="utf-8"))["pretrained"]
        said = content and Pretrained(**content)
    except (ValueError, KeyError, TypeError):
        raise WellfitError(f"{path} is not what features wrote (its sha256 differs): {ANEW}") from None
    found = said.settings if said else {}
    for key, value in settings.items():
        if found.get(key) != value:
            raise WellfitError(f"{folder} was made with {key} {found.get(key)}, which is {value} now: {ANEW}")
    assert said is not None
    if said.data_sha256 != data.sha256:
        raise WellfitError(f"{folder} was made of other data than data/processed/{data.name}: {ANEW}")
    if not (folder / BODY).is_file() or file_sha256(folder / BODY) != said.body_sha256:
        raise WellfitError(f"{folder / BODY} is not what features wrote (its sha256 differs): {ANEW}")
    return said
