"""``reports/tune/``: what a study found, as tables, as values for ``train``, and in pictures."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from wellfit.errors import WellfitError
from wellfit.files import write_csv
from wellfit.manifest import write_manifest
from wellfit.metrics.intervals import mean_interval
from wellfit.settings.params import Params
from wellfit.tuning.best import FILES, IMPORTANCE_COLUMNS, REPEAT_COLUMNS, TRIAL_COLUMNS, write_best
from wellfit.tuning.record import TrialRecord
from wellfit.tuning.space import Interval, shown

if TYPE_CHECKING:
    from wellfit.charts.study import Searched, Study

ENOUGH_TRIALS = 4  # completed ones, below which an importance is noise
RANKED_KEYS = 4  # the most important ones, whose pairs are drawn


class Row(NamedTuple):
    """A trial as ``trials.csv`` has it.

    Attributes:
        number: in the study, from 0.
        state: ``complete``, ``pruned`` or ``failed``.
        epochs: that it ran.
        best_epoch: 0 where there is none.
        value: the best of ``train.monitor``; None where there is none.
        values: dotted key of ``params.yaml`` to the value that was tried.
    """

    number: int
    state: str
    epochs: int
    best_epoch: int
    value: float | None
    values: Mapping[str, Any]

    @classmethod
    def of(cls, record: TrialRecord) -> "Row":
        """The row of a trial's record."""
        value = record.best if record.best_epoch else None
        return cls(record.number, record.state, len(record.history), record.best_epoch, value, record.values)


Repeats = Mapping[int, Mapping[int, float]]  # number of a trial to seed to score


def ranked(rows: Sequence[Row], *, higher_is_better: bool) -> list[Row]:
    """The completed trials, the best first, and of equals that which came first."""
    sign = -1.0 if higher_is_better else 1.0
    complete = [row for row in rows if row.state == "complete" and row.value is not None]
    return sorted(complete, key=lambda row: (sign * (row.value or 0.0), row.number))


def chosen(rows: Sequence[Row], repeats: Repeats, *, higher_is_better: bool) -> Row | None:
    """The trial with the best mean over other seeds; where none was repeated, the best one. None of no trial.

    The best of many values is partly luck, which other seeds do not have.
    """
    best = ranked(rows, higher_is_better=higher_is_better)
    sign = -1.0 if higher_is_better else 1.0
    repeated = [row for row in best if repeats.get(row.number)]
    return min(repeated or best[:1], key=lambda row: sign * _mean(repeats.get(row.number, {})), default=None)


def _mean(scores: Mapping[int, float]) -> float:
    return math.fsum(scores.values()) / len(scores) if scores else 0.0


def write_report(
    folder: Path,
    rows: Sequence[Row],
    params: Params,
    data_sha256: str,
    repeats: Repeats = MappingProxyType({}),
    *,
    higher_is_better: bool,
) -> tuple[dict[str, float], Row]:
    """Writes ``best_params.yaml``, ``trials.csv``, ``importance.csv``, ``repeats.csv``, the pictures and a manifest.

    Args:
        folder: ``reports/tune``.
        rows: the trials that have ended.
        params: the configuration, with the space that was searched.
        data_sha256: of the data.
        repeats: of the leading trials, trained anew with other seeds.
        higher_is_better: whether ``train.monitor`` is to rise.

    Returns:
        What the study comes down to, as metrics by name: ``best/<monitor>`` and ``best_trial`` of the chosen trial,
        ``importance/<key>``, and ``repeats/mean``, ``repeats/low``, ``repeats/high`` of the chosen one. And the
        chosen trial.

    Raises:
        WellfitError: not one trial that ended well.
    """
    rows, keys, monitor = sorted(rows), list(params.tune.searched), params.train.monitor
    best = chosen(rows, repeats, higher_is_better=higher_is_better)
    if best is None or best.value is None:
        raise WellfitError(f"none of {len(rows)} trials ended well")
    write_csv(folder / "trials.csv", [*TRIAL_COLUMNS, *keys], _table(rows, keys, higher_is_better))
    importance = importances(rows, params)
    write_csv(folder / "importance.csv", IMPORTANCE_COLUMNS, importance.items())
    _draw(folder / "plots", rows, params, importance, higher_is_better)
    summary = {f"best/{monitor}": best.value, "best_trial": float(best.number)}
    summary |= {f"importance/{key}": share for key, share in importance.items()}
    summary |= _write_repeats(folder / "repeats.csv", repeats, best.number)
    is_first = best == ranked(rows, higher_is_better=higher_is_better)[0]
    by_seeds = "" if is_first else ", by other seeds of the leading ones"
    what = f"best of {len(rows)} trials{by_seeds}: trial {best.number}, {monitor} {best.value:.6g}"
    values = {key: best.values[key] for key in keys}
    write_best(folder / "best_params.yaml", values, data_sha256, what)
    write_manifest(folder, FILES)
    print(what + ": " + ", ".join(f"{key} {shown(value)}" for key, value in values.items()), flush=True)
    return summary, best


def importances(rows: Sequence[Row], params: Params) -> dict[str, float]:
    """The share of the variance of completed trials that each key explains by itself, the largest first (fANOVA).

    Hutter, Hoos and Leyton-Brown 2014, An Efficient Approach for Assessing Hyperparameter Importance.

    Returns:
        Dotted key to its share; they add up to 1. Empty for fewer than four completed trials, or where all are equal.
    """
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    from wellfit.tuning.space import Space, drawn

    distributions = Space(params).distributions
    trials = [
        create_trial(params=params_of_trial, distributions=distributions, value=row.value)
        for row in rows
        if row.state == "complete"
        and row.value is not None
        # The first trial may stand outside the space.
        and (params_of_trial := drawn(row.values, distributions)).keys() == distributions.keys()
    ]
    if len(trials) < ENOUGH_TRIALS or len({trial.value for trial in trials}) == 1:
        return {}
    if len(distributions) == 1:
        return dict.fromkeys(distributions, 1.0)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    study.add_trials(trials)
    evaluator = FanovaImportanceEvaluator(seed=0)
    found = get_param_importances(study, evaluator=evaluator, params=list(distributions))
    return {key: float(share) for key, share in found.items()}


def _table(rows: Sequence[Row], keys: Sequence[str], higher: bool) -> list[list[Any]]:
    table: list[list[Any]] = []
    so_far: float | None = None
    for row in rows:
        if row.state == "complete" and row.value is not None:
            so_far = row.value if so_far is None else (max if higher else min)(so_far, row.value)
        start = [row.number, row.state, row.epochs, row.best_epoch, row.value, so_far]
        table.append(start + [row.values[key] for key in keys])
    return table


def _write_repeats(file: Path, repeats: Repeats, best: int) -> dict[str, float]:
    table = ([trial, seed, score] for trial, scores in repeats.items() for seed, score in sorted(scores.items()))
    write_csv(file, REPEAT_COLUMNS, table)
    if not repeats.get(best):
        return {}
    mean, low, high = mean_interval(list(repeats[best].values()))
    between = "" if math.isnan(low) else f", 95 % interval {low:.4g} to {high:.4g}"
    others = f", the best of the {len(repeats)} leading trials" if len(repeats) > 1 else ""
    seeds = f"{len(repeats[best])} other seed{'s' * (len(repeats[best]) != 1)}"
    print(f"trial {best} with {seeds}: mean {mean:.4g}{between}{others}", flush=True)
    found = {"repeats/mean": mean, "repeats/low": low, "repeats/high": high}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def study_of(rows: Sequence[Row], params: Params, *, higher_is_better: bool) -> "Study":
    """What charts are drawn of.

    Args:
        rows: the trials, in the order of their numbers, at least one.
        params: the configuration; a key that its space does not have is drawn by its values.
        higher_is_better: whether ``train.monitor`` is to rise.
    """
    from wellfit.charts.study import Searched, Study

    values = {key: [row.values[key] for row in rows] for key in rows[0].values}
    keys = [Searched(key, tried, _scale(params.tune.searched.get(key))) for key, tried in values.items()]
    states = [row.state for row in rows]
    return Study(params.train.monitor, higher_is_better, [row.value for row in rows], states, keys)


def pairs_of(study: "Study", importance: Mapping[str, float], most: int) -> "list[tuple[Searched, Searched]]":
    """The pairs of the most important keys, of so many at most."""
    shown = sorted(study.keys, key=lambda key: -importance.get(key.key, 0.0))[:most]
    return list(combinations(shown, 2))


def _draw(plots: Path, rows: Sequence[Row], params: Params, importance: Mapping[str, float], higher: bool) -> None:
    from wellfit.charts import tuning as charts
    from wellfit.charts.study import Searched
    from wellfit.charts.style import save

    study = study_of(rows, params, higher_is_better=higher)
    # A single key has nothing to be paired with but time.
    pairs = pairs_of(study, importance, RANKED_KEYS) or [(study.keys[0], Searched("trial", range(len(rows)), "linear"))]
    save(charts.history(study), plots / "history.png")
    save(charts.slices(study, study.keys), plots / "slices.png")
    save(charts.importance(importance, study.monitor, study.states.count("complete")), plots / "importance.png")
    save(charts.parallel(study), plots / "parallel.png")
    save(charts.ranks(study, pairs), plots / "rank.png")


def _scale(entry: Interval | list[Any] | None) -> Literal["linear", "log", "choice"]:
    if isinstance(entry, Interval):
        return "log" if entry.log else "linear"
    return "choice"
