"""Studies in JAX and in scikit-learn, for benchmarks/tuning.py: the same networks, rows, epochs and batch size.

Neither logs anything, keeps weights, or scores more than the loss. JAX trains many networks as one program: ``vmap``
over them, ``scan`` over the steps, Adam with a learning rate, weight decay and dropout of each. Its compilation counts,
for a study is run once. scikit-learn's MLPClassifier, which has no dropout, trains in one process a core.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from time import perf_counter, sleep
from typing import Any

import numpy as np
from study_arms import DROPOUT, LR, WEIGHT_DECAY, Problem, Values

from wellfit.machine import core_count

AT_ONCE = 32  # networks of a program of JAX: 64 are no faster
Arrays = dict[str, Any]  # of JAX


def seconds(name: str, problem: Problem, trials: Sequence[Values]) -> float:
    """Of all trials with ``jax`` or ``sklearn``, in a process of its own: JAX has threads, beside which none may fork.

    Imports do not count, as those of the stage do not.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit({"jax": jax_seconds, "sklearn": sklearn_seconds}[name], problem, trials).result()


def jax_seconds(problem: Problem, trials: Sequence[Values]) -> float:
    """Trains trials in JAX, some at once."""
    jax = import_module("jax")
    started = perf_counter()
    jax.config.update("jax_default_prng_impl", "unsafe_rbg")  # the fastest on a CPU
    initial = jax.jit(jax.vmap(partial(_initial, problem)))
    epoch = jax.jit(jax.vmap(partial(_epoch, problem), in_axes=(0, 0, 0, None, None)))
    for start in range(0, len(trials), AT_ONCE):
        part = trials[start : start + AT_ONCE]
        values = {name: np.array([each[name] for each in part], np.float32) for name in (LR, WEIGHT_DECAY, DROPOUT)}
        keys = jax.random.split(jax.random.key(start), len(part))
        networks = initial(keys)
        best = np.full(len(part), np.inf)
        rows = tuple(tensor.numpy() for split in problem.loaders for tensor in split.dataset[:])
        for number in range(problem.params.train.epochs):
            networks, losses = epoch(networks, keys, values, rows, number)
            best = np.minimum(best, np.asarray(losses))
        assert np.isfinite(best).all()
    return perf_counter() - started


def _initial(problem: Problem, key: Any) -> Arrays:
    """Weights as torch draws them, and Adam's moments."""
    jax, jnp = import_module("jax"), import_module("jax.numpy")
    layers, width = [], problem.loaders[0].dataset[:][0].shape[1]
    for number, units in enumerate([*problem.case.hidden, _n_outputs(problem)]):
        bound = width**-0.5
        keys = jax.random.split(jax.random.fold_in(key, number))
        shapes = ((width, units), (units,))
        layers.append(
            [jax.random.uniform(k, s, minval=-bound, maxval=bound) for k, s in zip(keys, shapes, strict=True)]
        )
        width = units
    zeros = jax.tree.map(jnp.zeros_like, layers)
    return {"layers": layers, "first": zeros, "second": zeros, "step": jnp.zeros((), int)}


def _epoch(problem: Problem, network: Arrays, key: Any, values: Arrays, rows: Any, number: Any) -> tuple[Arrays, Any]:
    """An epoch of a network, and its validation loss."""
    jax, jnp = import_module("jax"), import_module("jax.numpy")
    x, y, val_x, val_y = rows
    key = jax.random.fold_in(key, number + 1)
    size = problem.case.batch_size
    order = jax.random.permutation(key, len(x))
    full = order[: len(x) // size * size].reshape(-1, size)

    def loss_of(layers: Any, x: Any, y: Any, key: Any = None) -> Any:
        for depth, (weight, bias) in enumerate(layers):
            if depth:
                x = jax.nn.relu(x)
                if key is not None:
                    keeps = jax.random.bernoulli(jax.random.fold_in(key, depth), 1 - values[DROPOUT], x.shape)
                    x = jnp.where(keeps, x / (1 - values[DROPOUT]), 0)
            x = x @ weight + bias
        return _loss(problem.case.loss, x, y)

    def step(network: Arrays, batch: Any) -> tuple[Arrays, None]:
        count = network["step"] + 1
        gradients = jax.grad(loss_of)(network["layers"], x[batch], y[batch], jax.random.fold_in(key, count))

        def moved(weight: Any, gradient: Any, first: Any, second: Any) -> tuple[Any, Any, Any]:
            gradient = gradient + values[WEIGHT_DECAY] * weight
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            root = jnp.sqrt(second / (1 - 0.999**count)) + 1e-8
            return weight - values[LR] * first / (1 - 0.9**count) / root, first, second

        trees = (network["layers"], gradients, network["first"], network["second"])
        leaves = [moved(*each) for each in zip(*map(jax.tree.leaves, trees), strict=True)]
        shape = jax.tree.structure(network["layers"])
        new = [jax.tree.unflatten(shape, list(part)) for part in zip(*leaves, strict=True)]
        return {"layers": new[0], "first": new[1], "second": new[2], "step": count}, None

    network, _ = jax.lax.scan(step, network, full)
    if len(x) % size:
        network, _ = step(network, order[len(full) * size :])
    return network, loss_of(network["layers"], val_x, val_y)


def _loss(name: str, outputs: Any, y: Any) -> Any:
    """The mean of a batch."""
    jax, jnp = import_module("jax"), import_module("jax.numpy")
    if name == "cross_entropy":
        return -jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], 1).mean()
    if name == "bce":
        return (jax.nn.softplus(outputs[:, 0]) - outputs[:, 0] * y).mean()
    return ((outputs[:, 0] - y) ** 2).mean()


def _n_outputs(problem: Problem) -> int:
    return int(problem.loaders[0].dataset[:][1].max()) + 1 if problem.case.loss == "cross_entropy" else 1


def sklearn_seconds(problem: Problem, trials: Sequence[Values]) -> float:
    """Trains trials with scikit-learn, one in each process of as many as there are cores."""
    x, y = (tensor.numpy() for tensor in problem.loaders[0].dataset[:])
    settings = (problem.case.loss, problem.case.hidden, problem.case.batch_size, problem.params.train.epochs)
    with ProcessPoolExecutor(core_count(), mp_context=get_context("forkserver"), initializer=_begin) as pool:
        list(pool.map(sleep, [1.0] * core_count()))  # until each process has begun
        started = perf_counter()
        list(pool.map(_fit, [(x, y, settings, each[LR], each[WEIGHT_DECAY]) for each in trials], chunksize=4))
        return perf_counter() - started


def _begin() -> None:
    import_module("sklearn.neural_network")
    import_module("threadpoolctl").threadpool_limits(1)


def _fit(job: tuple[Any, Any, tuple[Any, ...], float, float]) -> float:
    import warnings

    from sklearn.neural_network import MLPClassifier, MLPRegressor

    x, y, (loss, hidden, batch_size, epochs), lr, decay = job
    kind = MLPRegressor if loss == "mse" else MLPClassifier
    network = kind(
        hidden,
        alpha=decay,
        batch_size=batch_size,
        learning_rate_init=lr,
        max_iter=epochs,
        tol=0,
        n_iter_no_change=epochs,
    )
    with warnings.catch_warnings(action="ignore"):  # that the last epoch was not the last that would have helped
        return float(network.fit(x, y).loss_)
