"""The models whose mean was delivered."""

from typing import Any

from wellfit.report.content import Share, Table, number
from wellfit.report.records import Evaluated, Training


def model_in_words(run: Evaluated) -> str:
    """What predicts: the kind of network, and of how many the mean is taken."""
    name = str(run.checkpoint.info["config"]["model"]["name"])
    return f"{name}, mean of {len(run.ensemble)}" if len(run.ensemble) > 1 else name


def ensemble(run: Evaluated, trained: Training | None) -> dict[str, Any] | None:
    """What ``train`` says of the ensemble it selected; None where there was nothing to select from.

    Args:
        run: what was evaluated.
        trained: the records of its training.
    """
    if trained is None or not trained.members:
        return None
    rows, losses = trained.members, trained.losses
    if run.ensemble and run.ensemble.keys() != {row["model"] for row in rows}:  # of another run
        return None
    names = ("val_loss", "cross_fitted", "best_cross_fitted", "final_val_loss")
    mean, honest, single, final = (number(losses[f"ensemble/{name}"]) for name in names)
    kept = "The mean is delivered" if run.ensemble else "The final model alone is delivered"
    says = (
        f"The selected mean has a loss of {mean} on the validation rows that selected it, and {honest} on rows "
        f"that did not, where the best single model has {single}; the final model has {final}. {kept}. Validation rows "
        "have chosen epochs, trials and members, so the first and the last of these numbers are too good; the test "
        "rows have chosen nothing."
    )
    table = Table(
        "Models of the mean",
        ["model", "share", "loss alone"],
        [[row["model"], Share(float(row["share"])), number(float(row["val_loss"]))] for row in rows],
    )
    return {"says": says, "table": table}
