"""Tunes what tune.space names: an Optuna study whose result is reports/tune/best_params.yaml."""

from pathlib import Path

from wellfit.cli import run_stage
from wellfit.params import Params


def main(params: Params) -> None:
    report = Path("reports/tune")
    if not (params.tune.enabled and params.tune.searched):
        from wellfit.tuning.best import write_no_tuning

        print("tuning is off (tune.enabled is false, or tune.space is empty)")
        write_no_tuning(report)
        return
    from wellfit.tuning.tune import tune

    tune(params, Path("data/processed", params.data.name), report)


if __name__ == "__main__":
    run_stage(main, __doc__)
