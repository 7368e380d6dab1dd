"""The configuration that a trial trains with."""

from wellfit.data.meta import HEAVY
from wellfit.settings.params import Params
from wellfit.training.setup import TrainingData, steps_per_epoch
from wellfit.tuning.study import Trial

STEPS_ON_IMAGES = 1000  # of a trial, where tune.max_steps is auto: tables train to their end


def of_trial(params: Params, trial: Trial, data: TrainingData) -> Params:
    """The params of a trial, in which nothing is searched any more."""
    return shortened(params.replace({"tune.space": {}} | trial.values, source=f"trial {trial.number}"), data)


def shortened(params: Params, data: TrainingData) -> Params:
    """Params of at most ``tune.max_steps``, in whole epochs, in which nothing is searched any more.

    With auto, trials on tables train to their end, those on images for at most 1,000 steps.
    """
    most = params.tune.max_steps
    if most == "auto":
        most = STEPS_ON_IMAGES if data.meta.kind in HEAVY else None
    if most is None:
        return params.replace({"tune.space": {}})
    epochs = min(params.train.epochs, max(1, most // steps_per_epoch(params, data)))
    warmup = min(params.schedule.warmup_epochs, epochs - 1)
    # A space that is fine with all epochs need not be with fewer.
    return params.replace({"tune.space": {}, "train.epochs": epochs, "schedule.warmup_epochs": warmup})
