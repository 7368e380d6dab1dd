"""A worker: trains trials of a study that other machines work on, too, and leaves the report to ``tune``."""

from pathlib import Path

from wellfit.errors import WellfitError
from wellfit.settings.params import PARAMS_FILE, Params
from wellfit.stages.tune import searched
from wellfit.tuning.publish import describe_study


def work(params: Params, data_folder: Path) -> None:
    """Trains until the study of ``params.yaml`` has ``tune.n_trials`` trials, those of all workers together.

    Args:
        params: the configuration; ``tune.storage`` is a database.
        data_folder: ``data/processed/<name>``.

    Raises:
        WellfitError: there is nothing to search, or no database that others could work on.
    """
    if not (params.tune.enabled and params.tune.searched):
        raise WellfitError(f"a worker needs tune.enabled true and a tune.space to search ({PARAMS_FILE})")
    if "://" not in params.tune.storage:
        raise WellfitError(
            f"tune.storage must be a database that workers share, postgresql://... or grpc://host:port, got "
            f"{params.tune.storage} ({PARAMS_FILE})"
        )
    with searched(params, data_folder) as found:
        found.publisher.finish(None, "", {}, describe_study(found.params, found.data.meta))
        print(f"the study {found.study.name} has {len(found.rows)} trials", flush=True)
