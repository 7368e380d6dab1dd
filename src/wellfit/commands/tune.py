"""Tunes what tune.space names: an Optuna study whose result is reports/tune/best_params.yaml."""

from pathlib import Path

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _tune(params: Params) -> None:
    report, models = Path("reports/tune"), Path("models")
    if not (params.tune.enabled and params.tune.searched):
        from wellfit.tuning.best import write_no_tuning

        why = "tune.space has no key that is not given" if params.tune.enabled else "tune.enabled is false"
        print(f"nothing is tuned: {why}")
        write_no_tuning(report, models)
        return
    from wellfit.stages.tune import tune

    tune(params, Path("data/processed", params.data.name), report, models)


COMMAND = of_params(_tune)
