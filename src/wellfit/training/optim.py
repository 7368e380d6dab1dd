"""From gradients to a step: penalties, clipping, weight decay, and the optimizer named in ``optim.name``."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, Muon, NAdam, RAdam, RMSprop
from torch.optim import Optimizer as TorchOptimizer

from wellfit.training.config import OptimConfig
from wellfit.training.flat import FlatParameters


class Optimizer:
    """The optimizer of one model and what goes with it, over the model's weights as one vector.

    Penalties and decay hold matrices and kernels, unless ``optim.decay_all``: to shrink a bias or the scale of a norm
    regularizes nothing.

    Args:
        config: the section ``optim``.
        model: on its device already; its parameters become views of the vector.
    """

    def __init__(self, config: OptimConfig, model: nn.Module) -> None:
        self._config = config
        self._flat = FlatParameters(model)
        self._optimizers = _torch_optimizers(config, self._flat)
        n_decayed = None if config.decay_all else self._flat.n_matrices
        self._decayed = self._flat.vector.data[:n_decayed]
        self._decayed_gradients = self._flat.gradients[:n_decayed]

    @property
    def vector(self) -> Tensor:
        """All weights of the model."""
        return self._flat.vector

    def zero_grad(self) -> None:
        """Clears the gradients, to which every backward pass adds."""
        self._flat.gradients.zero_()

    @torch.no_grad()
    def step(self, lr: float) -> Tensor:
        """Moves the weights.

        Args:
            lr: learning rate of this step.

        Returns:
            () the norm of the gradient, an L1 penalty included, before clipping and weight decay.
        """
        config, gradients = self._config, self._flat.gradients
        if config.l1 > 0:
            self._decayed_gradients.add_(self._decayed.sign(), alpha=config.l1)
        norm: Tensor = torch.linalg.vector_norm(gradients)
        if config.clip_norm is not None:
            gradients.mul_((config.clip_norm / (norm + 1e-6)).clamp_(max=1.0))  # as torch.nn.utils.clip_grad_norm_
        if config.clip_value is not None:
            gradients.clamp_(-config.clip_value, config.clip_value)
        if config.weight_decay > 0 and config.name != "lamb":  # lamb's is a part of its update
            if config.is_decoupled:
                self._decayed.mul_(1 - lr * config.weight_decay)
            else:
                self._decayed_gradients.add_(self._decayed, alpha=config.weight_decay)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
        if config.max_norm is not None:
            for layer in self._flat.layers:
                layer.copy_(torch.renorm(layer, p=2, dim=0, maxnorm=config.max_norm))
        return norm


def _torch_optimizers(config: OptimConfig, flat: FlatParameters) -> list[TorchOptimizer]:
    """One optimizer over everything, or two where matrices are treated apart. None of them decays, but for lamb."""
    lr, betas, eps = config.lr, (config.beta1, config.beta2), config.eps
    all_weights = [flat.vector]
    match config.name:
        case "sgd":
            return [SGD(all_weights, lr, momentum=config.momentum, nesterov=config.nesterov, fused=True)]
        case "adam" | "adamw":
            return [Adam(all_weights, lr, betas, eps, fused=True)]
        case "nadam":
            return [NAdam(all_weights, lr, betas, eps)]
        case "radam":
            return [RAdam(all_weights, lr, betas, eps)]
        case "rmsprop":
            return [RMSprop(all_weights, lr, alpha=config.alpha, eps=eps, momentum=config.momentum)]
        case "adagrad":
            return [Adagrad(all_weights, lr, eps=eps)]
        case "lion":
            from pytorch_optimizer import Lion

            return [Lion(all_weights, lr, betas, weight_decay=0.0)]
        case "lamb":
            from pytorch_optimizer import Lamb

            groups: list[dict[str, Any]] = [{"params": flat.layers, "weight_decay": config.weight_decay}]
            rest = {"params": flat.rest, "weight_decay": config.weight_decay if config.decay_all else 0.0}
            groups += [rest] if flat.rest else []
            # Decay inside the update, and no correction of the step for the bias of the first moments, as in the paper:
            # the library would divide the first steps by 1 - beta1 after the trust ratio had set their size.
            return [Lamb([g | {"adam_debias": True} for g in groups], lr, betas, weight_decouple=False, eps=eps)]
        case "muon":
            # Momentum made orthogonal is defined for matrices; Adam takes the rest, at rates that go together.
            matrices = Muon(
                flat.layers,
                lr,
                weight_decay=0.0,
                momentum=config.momentum,
                nesterov=config.nesterov,
                adjust_lr_fn="match_rms_adamw",
            )
            return [matrices, *([Adam(flat.rest, lr, betas, eps, fused=True)] if flat.rest else [])]
