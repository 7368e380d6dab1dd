"""The stage ``lr_find``: which learning rates are worth trying."""

from pathlib import Path

from wellfit import tracking
from wellfit.charts.style import save
from wellfit.charts.training import lr_range
from wellfit.files import write_csv
from wellfit.settings.params import Params, flatten
from wellfit.training.loop import BatchOrder
from wellfit.training.lr_range import range_test, suggest
from wellfit.training.record import resolved_config
from wellfit.training.setup import begin, load_training_data


def lr_find(params: Params, data_folder: Path, report: Path) -> None:
    """Runs the test with the network, optimizer, loss and batches of ``params``, and records it.

    Args:
        params: the configuration, as it stands there: tuned values are not used.
        data_folder: ``data/processed/<name>``.
        report: gets ``lr_find.csv`` and ``lr_find.png``.

    Raises:
        WellfitError: missing data, or a loss that does not fall at any rate.
    """
    data = load_training_data(params, data_folder)
    learner = begin([params], data, packed=False).learner
    rows_per_step = params.train.rows_per_step(data.meta)
    order = BatchOrder(len(data.train.y), rows_per_step, [params.train.seed], data.train.device)
    config = resolved_config(params) | {"lr_find": params.lr_find.model_dump()}
    with tracking.start_run("lr_find", f"lr_find {data.meta.title} {params.model.name}", data.meta) as run:
        run.log_params(flatten(config))
        curve = range_test(learner, order, params.lr_find)
        (report / "lr_find.png").unlink(missing_ok=True)  # of a curve before
        write_csv(report / "lr_find.csv", curve._fields, zip(*(column.tolist() for column in curve), strict=True))
        found = suggest(curve)
        save(lr_range(*curve, found), report / "lr_find.png")
        for step, values in enumerate(zip(*curve, strict=True), start=1):
            run.log_metrics({f"lr_find/{name}": x for name, x in zip(curve._fields, values, strict=True)}, step)
        run.log_metrics({"lr_find/steepest": found.steepest, "lr_find/tenth_of_lowest": found.tenth})
        run.log_files(report, "lr_find")
    low, high = sorted(found)
    print(
        f"try optim.lr between {low:.2g} and {high:.2g}: the loss falls most steeply at {found.steepest:.2g}, and a "
        f"tenth of the rate where it is lowest is {found.tenth:.2g} ({report / 'lr_find.png'})"
    )
