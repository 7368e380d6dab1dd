"""The part of the train stage that chooses between the final model and a mean of several."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wellfit.data.features import trained_on
from wellfit.data.scratch import memory_budget
from wellfit.data.store import Split, load_folds
from wellfit.errors import WellfitError
from wellfit.files import write_csv
from wellfit.serving.ensemble import candidates_of, model_of_fold, select_ensemble, shared
from wellfit.serving.table import prediction_table
from wellfit.settings.params import Params
from wellfit.training.checkpoint import Checkpoint, load_checkpoints
from wellfit.training.cores import Cores
from wellfit.training.finish import finish
from wellfit.training.setup import TrainingData
from wellfit.training.size import choose_size, processes_for, sizes_up_to

FINAL = "the final model"


def candidates_of_study(params: Params, file: Path) -> list[list[Checkpoint]]:
    """The models that a study left for an ensemble, of all folds of each; none where there is to be none.

    Args:
        params: the configuration.
        file: ``candidates.safetensors``, which the stage ``tune`` writes.

    Raises:
        WellfitError: it is missing, or damaged.
    """
    if not (params.train.ensemble and params.tune.enabled and params.tune.searched):
        return []
    return candidates_of(load_checkpoints(file, "tune"))


def choose_ensemble(
    params: Params,
    data: TrainingData,
    data_folder: Path,
    final: Checkpoint,
    of_study: Sequence[list[Checkpoint]],
    report: Path,
    kept: Path | None = None,
) -> tuple[list[Checkpoint], dict[str, float]]:
    """Chooses the ensemble where its mean is better than a single model; what it came to, as metrics.

    Both are judged by rows that chose neither: the loss of the final model on validation rows, by which it was tuned,
    is too good to compare with.

    Candidates are the final model, the same configuration with other seeds (``train.seeds``), and the best trials and
    repeats of the study that have not the settings and the seed of one of these. With folds, each candidate is the mean
    of the models of all folds, and is judged by what each model predicts for the rows of its fold; where the final
    model is the best, its models are the ensemble.

    Args:
        params: the configuration of the final model.
        data: what it was trained on.
        data_folder: ``data/processed/<name>``.
        final: the final model.
        of_study: what `candidates_of_study` found.
        report: gets ``ensemble.csv``, and ``validation.csv``: what the chosen model predicts for the validation rows,
            with folds what those models predict that were not trained on the row.
        kept: gets what has been trained for it, which is not trained again; None: nothing is kept.

    Returns:
        The models of the ensemble, none where the final model is delivered alone; and the metrics.

    Raises:
        WellfitError: a candidate was trained on other data, or a fold blew up.
    """
    size, meta = params.train.ensemble, data.meta
    folds = load_folds(trained_on(params, data_folder), meta, memory_budget(params.data.memory))
    candidates = _final_models(params, data, final, kept)
    configs = [each[0].info["config"] for each in candidates]
    candidates += [each for each in of_study if each[0].info["config"] not in configs]
    chosen = [shared(candidates[0], 1.0)]
    metrics: dict[str, float] = {}
    table: list[list[Any]] = []
    is_better = False
    if len(candidates) > 1 or data.folds:
        selection = select_ensemble(candidates, folds, meta, max(size, 1))
        alone = float(selection.losses[0])
        found = zip(candidates, selection.shares.tolist(), selection.losses.tolist(), strict=True)
        members = sorted(((each, share, loss) for each, share, loss in found if share), key=lambda m: -m[1])
        table = [[each[0].info["source"], share, loss] for each, share, loss in members]
        metrics = {
            "ensemble/models": float(len(members)),
            "ensemble/val_loss": selection.loss,
            "ensemble/cross_fitted": selection.cross_fitted,
            "ensemble/best_cross_fitted": selection.best_cross_fitted,
            "ensemble/final_val_loss": alone,
        }
        # All of the rows have chosen the final model's trial: alone, it is no better than it looks.
        is_better = selection.cross_fitted < max(selection.best_cross_fitted, alone)
        if is_better:
            chosen = [shared(each, share) for each, share, _ in members]
        print(
            f"mean of {len(members)} from {len(candidates)} models: validation loss {selection.loss:.4g}; on rows that "
            f"chose nothing {selection.cross_fitted:.4g}, a single model {selection.best_cross_fitted:.4g}; the final "
            f"model {alone:.4g}: {'the mean' if is_better else 'the final model alone'} is kept"
            + (f", each model as the mean of its {data.n_folds} folds" if data.folds else "")
        )
    write_csv(report / "ensemble.csv", ["model", "share", "val_loss"], table)
    _write_validation(report / "validation.csv", chosen, folds, data)
    return [model for each in chosen for model in each] if is_better or data.folds else [], metrics


def _final_models(params: Params, data: TrainingData, final: Checkpoint, kept: Path | None) -> list[list[Checkpoint]]:
    """The models of each fold of the final configuration, with its own seed and with those after the study's."""
    first = 1 + params.tune.repeats if params.tune.enabled and params.tune.searched else 1
    others = range(first, first + params.train.seeds - 1)
    seeds = [params.train.seed, *((params.train.seed + i) % 2**32 for i in others)]
    shown = params.train.seed, params.train.fold
    missing = [(seed, fold) for seed in seeds for fold in range(data.n_folds) if (seed, fold) != shown]
    found = {shown: Checkpoint(final.weights, final.info | {"source": FINAL})}
    for (seed, fold), model in zip(missing, _train(params, missing, data, kept), strict=True):
        if model is not None:
            found[seed, fold] = model
        elif seed == params.train.seed:
            raise WellfitError(f"training blew up in fold {fold}; lower optim.lr, now {params.optim.lr:g}")
    trained = [[found[seed, fold] for fold in range(data.n_folds) if (seed, fold) in found] for seed in seeds]
    return [each for each in trained if len(each) == data.n_folds]


def _train(
    params: Params, others: Sequence[tuple[int, int]], data: TrainingData, kept: Path | None
) -> list[Checkpoint | None]:
    """The final configuration with other seeds and folds; None where a training blew up."""
    if not others:
        return []
    members = [params.replace({"train.seed": seed, "train.fold": fold}) for seed, fold in others]
    with Cores(data, processes_for(params, data, len(members))) as cores:
        outcomes = finish(members, choose_size(params, data, sizes_up_to(len(members)), cores), cores, kept)
    trained: list[Checkpoint | None] = []
    for member, outcome in zip(members, outcomes, strict=True):
        seed = member.train.seed
        source = FINAL if seed == params.train.seed else f"{FINAL} with seed {seed}"
        trained.append(outcome and outcome.checkpoint(member, data.meta.sha256, source))
    return trained


def _write_validation(
    file: Path, chosen: Sequence[Sequence[Checkpoint]], folds: Sequence[Split], data: TrainingData
) -> None:
    found = (model_of_fold(chosen, fold, data.meta).predict(rows.x) for fold, rows in enumerate(folds))
    tables = [prediction_table(predictions, rows, data.meta) for predictions, rows in zip(found, folds, strict=True)]
    lines = ([line[0], fold, *line[1:]] for fold, (_, table) in enumerate(tables) for line in table)
    write_csv(file, ["id", "fold", *tables[0][0][1:]], lines)
