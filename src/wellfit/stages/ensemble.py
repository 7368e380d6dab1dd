"""The part of the train stage that chooses between the final model and a mean of several."""

from pathlib import Path
from typing import Any

from wellfit.data.store import load_split
from wellfit.files import write_csv
from wellfit.serving.ensemble import select_ensemble
from wellfit.serving.model import CHECKPOINT_FILE, ENSEMBLE_FILE
from wellfit.settings.params import Params
from wellfit.training.checkpoint import Checkpoint, load_checkpoint, load_checkpoints, save_checkpoints
from wellfit.training.cores import Cores
from wellfit.training.finish import finish
from wellfit.training.setup import TrainingData
from wellfit.training.size import choose_size, processes_for, sizes_up_to
from wellfit.tuning.best import CANDIDATES_FILE


def choose_ensemble(
    params: Params, data: TrainingData, data_folder: Path, models: Path, report: Path
) -> dict[str, float]:
    """Writes the ensemble where its mean is better than the final model; what it came to, as metrics.

    Candidates are the final model, the same configuration with other seeds (``train.seeds``), and the best trials and
    repeats of the study.

    Args:
        params: the configuration of the final model.
        data: what it was trained on.
        data_folder: ``data/processed/<name>``.
        models: has the final model, and what ``tune`` left; gets ``ensemble.safetensors``.
        report: gets ``ensemble.csv``.

    Raises:
        WellfitError: a candidate is missing, damaged, or was trained on other data.
    """
    size, meta = params.train.ensemble, data.meta
    chosen: list[Checkpoint] = []
    metrics: dict[str, float] = {}
    table: list[list[Any]] = []
    candidates: list[Checkpoint] = []
    if size and params.tune.enabled and params.tune.searched:
        candidates += load_checkpoints(models / CANDIDATES_FILE, "tune")
    if size and params.train.seeds > 1:
        candidates += _other_seeds(params, data)
    if candidates:
        final = load_checkpoint(models / CHECKPOINT_FILE)
        candidates.insert(0, Checkpoint(final.weights, final.info | {"source": "the final model"}))
        selection = select_ensemble(candidates, load_split(data_folder, meta, "val"), meta, size)
        found = zip(candidates, selection.shares.tolist(), selection.losses.tolist(), strict=True)
        members = sorted(((each, share, loss) for each, share, loss in found if share), key=lambda m: -m[1])
        table = [[each.info["source"], share, loss] for each, share, loss in members]
        metrics = {
            "ensemble/models": float(len(members)),
            "ensemble/val_loss": selection.loss,
            "ensemble/cross_fitted": selection.cross_fitted,
            "ensemble/best_cross_fitted": selection.best_cross_fitted,
            "ensemble/final_val_loss": float(selection.losses[0]),
        }
        is_better = selection.cross_fitted < selection.losses[0]
        if is_better:
            chosen = [Checkpoint(each.weights, each.info | {"share": share}) for each, share, _ in members]
        print(
            f"ensemble of {len(members)} of {len(candidates)} models: validation loss {selection.loss:.4g}, "
            f"{selection.cross_fitted:.4g} on rows that did not select it, the final model {selection.losses[0]:.4g}: "
            + ("the ensemble is kept" if is_better else "the final model alone is kept")
        )
    save_checkpoints(models / ENSEMBLE_FILE, chosen)
    write_csv(report / "ensemble.csv", ["model", "share", "val_loss"], table)
    return metrics


def _other_seeds(params: Params, data: TrainingData) -> list[Checkpoint]:
    seeds = [(params.train.seed + 1 + i) % 2**32 for i in range(params.train.seeds - 1)]
    members = [params.replace({"train.seed": seed}) for seed in seeds]
    with Cores(data, processes_for(params, data, len(members))) as cores:
        size = choose_size(params, data, sizes_up_to(len(members)), cores)
        found = zip(members, finish(members, size, cores), strict=True)
    return [
        outcome.checkpoint(member, data.meta.sha256, f"the final model with seed {member.train.seed}")
        for member, outcome in found
        if outcome
    ]
