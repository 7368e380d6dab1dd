"""A model of an own table, or of images, as `evaluate` leaves it; the network is not trained."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from wellfit.data.meta import Meta
from wellfit.data.prepare import prepare
from wellfit.data.settings import DataConfig, own_settings
from wellfit.data.store import Split, load_split, save_meta
from wellfit.metrics.decision import Decision
from wellfit.models import build_model
from wellfit.models.inputs import Inputs
from wellfit.serving.folder import describe_reading, save_model
from wellfit.serving.model import TrainedModel
from wellfit.serving.profile import fit_profile
from wellfit.settings.params import Params, load_params
from wellfit.training.checkpoint import Checkpoint
from wellfit.training.loss import head_width
from wellfit.training.record import resolved_config

from ..conftest import PARAMS_FILE

HEADER = "id,when,income,share,member,city,note,age,sold\n"
WORDS, CITIES = ("Yes", "no", "YES"), ("Rome", "Oslo", "Bern", "")


def lines(n: int = 120) -> list[str]:
    """Rows with dates, prices, percents, words for yes and no, categories with gaps, free text, numbers with gaps."""
    return [
        f'r{i},{i % 28 + 1}/{i % 12 + 1}/2024 8:{i % 60:02},"${i * 100 + 1000:,}.50",{i % 40}%,{WORDS[i % 3]},'
        f"{CITIES[i % 4]},word{i} house,{'' if i % 9 == 0 else i * i % 11},{'good' if i * i % 3 else 'bad'}\n"
        for i in range(n)
    ]


def csv_file(path: Path, rows: list[str] | None = None, header: str = HEADER) -> Path:
    path.write_text(header + "".join(lines() if rows is None else rows))
    return path


def image_folder(folder: Path, n: int = 12, size: tuple[int, int] = (8, 10)) -> Path:
    """Images of two classes; (height, width)."""
    random = np.random.default_rng(0)
    for i in range(n):
        path = folder / ("cat" if i % 2 else "dog") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)
    return folder


def leave_model(
    root: Path, *settings: str, decision: Decision | None = None, members: int = 1, card: str = "# card\n"
) -> tuple[Path, Meta, Params]:
    """Prepares ``root/own.csv``, or what ``settings`` name, and writes a model of it with random weights.

    Returns:
        The model's folder, and what is known of the data, whose splits are in ``root/processed``.
    """
    given = ["data.name=csv", f"data.path={root / 'own.csv'}", "data.target=sold", "data.id=id", "data.text=hash"]
    small = ["model.hidden=[6]", "model.embedding_size=2", "model.embedding_width=2", "data.max_categories=20"]
    params = load_params(PARAMS_FILE, [*given, *small, *settings])
    meta = prepare_once(params.data, root)
    decision = decision or Decision(coverage=0.9, bound=0.8, temperature=1.5)
    models = [untrained(params, meta, seed, 1 / members) for seed in range(members)]
    folder = root / "models" / meta.name
    train, val = (load_split(root / "processed" / meta.name, meta, name) for name in ("train", "val"))
    profile = fit_profile(meta, train.x, decision.predicted(_predict(models, meta, decision, val)))
    save_model(folder, models, meta, decision, describe_reading(params.data, meta), profile, card)
    return folder, meta, params


_PREPARED: dict[tuple[bytes, str], tuple[Meta, dict[str, bytes]]] = {}


def prepare_once(data: DataConfig, root: Path) -> Meta:
    """`prepare` into ``root/processed``, or what it made before of an equal file: it takes most of a second."""
    file, folder = Path(data.path or ""), root / "processed" / data.name
    if not file.is_file():
        return prepare(data, root / "raw", root / "processed")
    key = file.read_bytes(), data.model_dump_json(exclude={"path"})
    if key not in _PREPARED:
        meta = prepare(data, root / "raw", root / "processed")
        _PREPARED[key] = meta, {path.name: path.read_bytes() for path in folder.iterdir()}
        return meta
    meta, files = _PREPARED[key]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    meta = meta.model_copy(update={"settings": own_settings(data)})  # of the file that is here
    save_meta(folder, meta)
    return meta


def _predict(models: list[Checkpoint], meta: Meta, decision: Decision, rows: Split) -> np.ndarray:
    return decision.predictions(TrainedModel(models, meta).outputs(rows.x), meta)


def untrained(params: Params, meta: Meta, seed: int, share: float) -> Checkpoint:
    """A network with random weights, which counts so much in a mean."""
    torch.manual_seed(seed)
    inputs = Inputs(meta, params.model.numeric, torch.device("cpu"))
    network = build_model(params.model, inputs.shape, head_width(params.loss.name, meta), inputs.columns)
    info: dict[str, Any] = {"config": resolved_config(params), "data_sha256": meta.sha256, "share": share}
    return Checkpoint(network.state_dict(), info)
