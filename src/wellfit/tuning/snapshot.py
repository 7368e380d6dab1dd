"""A worker that was stopped goes on with the epochs that its trials had.

Between two epochs, a snapshot is written of all that decides how the worker goes on: the networks, the trials and what
the study knew. What came after it is done once more and comes to the same, as every training and every proposal does;
the records and the storage have it already, and stay as they are.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager

from wellfit.training.cores import Cores
from wellfit.training.record import code_digests
from wellfit.training.resume import Snapshots, State, folder_of
from wellfit.training.setup import TrainingData
from wellfit.training.size import Size
from wellfit.tuning.pack import Pack
from wellfit.tuning.study import Study, Trial
from wellfit.tuning.waiting import Waiting

CODE = ("data/augment", "data/meta.py", "data/store.py", "metrics", "models", "training", "tuning")


@contextmanager
def worker_snapshots(study: Study, data: TrainingData, size: Size) -> Iterator[Snapshots]:
    """The snapshots of a worker, which goes on where one that is gone has left some.

    Args:
        study: of the trials.
        data: what they train on.
        size: how many train at once.
    """
    device = data.train.device.type
    folder = folder_of([str(study.folder), size._replace(rate=0.0), device, code_digests(*CODE)])
    for number in itertools.count():  # those before are of workers beside this one
        with Snapshots(folder.with_name(f"{folder.name}-{number}")) as snapshots:
            if snapshots.folder is not None:
                yield snapshots
                return


def state_of(study: Study, waiting: Waiting, pack: Pack | None) -> State:
    """What a worker comes to, between two epochs or two packs.

    Args:
        study: of the trials.
        waiting: trials that do not train yet.
        pack: those that do.
    """
    trials = pack.trials if pack else []
    said = {
        "study": study.state_dict(),
        "waiting": waiting.state_dict(),
        "key": pack.key if pack else None,
        "trials": [[each.trial.number, each.state_dict()] for each in trials],
    }
    # As a text, of which a tree of tensors has one leaf, and not one for each value of each epoch.
    return {"said": json.dumps(said), "pack": pack.state_dict() if pack else None}


def go_on(snapshots: Snapshots, study: Study, waiting: Waiting, size: Size, cores: Cores) -> Pack | None:
    """Goes on with the study as the worker that a snapshot is of, if there is one.

    Args:
        snapshots: of this worker.
        study: of the trials, from which none was asked for.
        waiting: gets the trials that do not train yet.
        size: how many train at once.
        cores: that train.

    Returns:
        The trials that train, if there are any.
    """
    state = snapshots.load()
    if state is None:
        return None
    said = json.loads(state["said"])
    own = study.go_on(said["study"])
    if own is None:
        return None
    values = {number: trial["values"] for number, trial in said["study"]["own"]}
    trials = {number: waiting.begun(Trial(number, values[number])) for number in values}
    waiting.load_state_dict(said["waiting"], {number: trials[number] for number in own})
    for number, progress in said["trials"]:
        trials[number].load_state_dict(progress)
    train = [trials[number] for number, _ in said["trials"]]
    kept = [k for k, trial in enumerate(train) if trial.trial.number in own]
    if own:
        print(f"goes on with {len(own)} trials under way ({snapshots.shown})", flush=True)
    if not kept:
        return None
    pack = Pack(said["key"], train, size, cores, state["pack"])
    if len(kept) < len(train):  # other workers have taken some meanwhile
        pack.change(kept, [])
    return pack
