"""Which trainings can be members of one pack."""

from wellfit.settings.params import Params
from wellfit.training.record import resolved_config
from wellfit.training.schedule import ScheduleConfig

# The settings that each member of a pack has for itself. In all others its members agree.
PER_MEMBER = {
    "model": ("dropout", "input_dropout", "embedding_scale", "init", "init_std"),
    "loss": ("label_smoothing", "focal_gamma", "delta"),
    "regularize": ("input_noise", "mixup", "cutmix", "ema_decay", "swa_start"),
    "optim": (
        *("lr", "weight_decay", "l1", "clip_norm", "clip_value", "max_norm"),
        *("momentum", "nesterov", "beta1", "beta2", "alpha", "eps"),
    ),
    "schedule": tuple(ScheduleConfig.model_fields),
    "train": ("seed", "fold", "epochs", "patience", "min_delta"),
}


def pack_key(params: Params) -> str:
    """The settings that members of one pack have in common, as text."""
    config = resolved_config(params)
    return str({name: {k: v for k, v in config[name].items() if k not in PER_MEMBER.get(name, ())} for name in config})


def can_pack(params: Params) -> bool:
    """Whether there is a packed form of the network and its training: of perceptrons that are not compiled."""
    return params.model.entry.packs and not params.train.compile
