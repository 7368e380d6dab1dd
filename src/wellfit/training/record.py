"""What is written down of every training, of the train stage and of trials alike."""

from typing import Any

from wellfit.params import Params

# Kept out of reports, which are the same bytes in every run, and of trials, whose pack they are of.
TIMING = ("seconds", "samples_per_second")
SECTIONS = ("data", "model", "loss", "regularize", "optim", "schedule", "train")


def best_metrics(best: dict[str, float]) -> dict[str, float]:
    """``best/...`` metrics of a run, so that runs compare by their best epoch and not by their last."""
    return {f"best/{name}": value for name, value in best.items() if name.startswith(("train/", "val/"))}


def resolved_config(params: Params) -> dict[str, Any]:
    """The sections that decide what a model becomes, as a tree that YAML and JSON can hold."""
    tree = params.model_dump(mode="json")
    return {section: tree[section] for section in SECTIONS}
