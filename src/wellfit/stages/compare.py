"""A named comparison from its file to its report."""

from functools import cache
from pathlib import Path

from wellfit.compare.boundaries import find_boundaries, has_boundaries
from wellfit.compare.comparison import NamedComparison
from wellfit.compare.data import prepared_data
from wellfit.compare.outcome import Outcome, kept_outcome, outcome_folder, write_outcome
from wellfit.compare.publish import describe_comparison
from wellfit.compare.report import write_report
from wellfit.compare.train import Job, check_can_begin, cores_for, plan_groups, train_groups
from wellfit.data.features import trained_on
from wellfit.data.store import load_split
from wellfit.errors import WellfitError
from wellfit.settings.params import flatten
from wellfit.tracking import Publisher
from wellfit.training.record import resolved_config
from wellfit.training.setup import TrainingData, load_training_data
from wellfit.training.tensors import Tensors, to_tensors


def compare(named: NamedComparison, report: Path) -> None:
    """Trains each variant with each seed, but for what is kept from before, and writes what they differ in.

    Args:
        named: the comparison.
        report: the folder to make, or to replace as a whole.

    Raises:
        WellfitError: data that cannot be had, a variant that does not fit them, or not one training that ended well.
    """
    folder = prepared_data(named.base.data, named.base.fetch, named.name)
    data = load_training_data(named.base, folder)
    named.check_measures(data.meta.task)
    check_can_begin(named, data)

    @cache
    def load_test() -> Tensors:
        test = load_split(trained_on(named.base, folder), data.meta, "test")
        return to_tensors(test, data.meta, data.train.device)

    jobs = _jobs(named, data)
    outcomes = {job.folder: outcome for job in jobs if (outcome := kept_outcome(job.folder, job.variant))}
    if outcomes:
        print(f"{len(outcomes)} of {len(jobs)} trainings are there from before")
    left = [job for job in jobs if job.folder not in outcomes]
    # The publisher is begun after the other processes, which would hold its pipe open.
    with (
        cores_for(left, data, keeps_best=named.comparison.weights == "best") as cores,
        Publisher("wellfit.compare.publish") as publisher,
    ):
        _open(publisher, named, jobs, data)
        for kept in outcomes:
            publisher.add(kept)
        groups = plan_groups(jobs, outcomes.keys(), data, cores)
        if groups:
            how = dict.fromkeys(group.size.describe("trainings") for group in groups)
            print(f"trains {len(left)}: {'; '.join(how)}", flush=True)
        try:
            for job, outcome, weights in train_groups(groups, data, load_test, cores):
                write_outcome(job.folder, outcome, weights, data.meta.sha256)
                outcomes[job.folder] = outcome
                publisher.add(job.folder)
        except KeyboardInterrupt:
            print(f"{len(outcomes)} of {len(jobs)} trainings are kept; the next run trains the others")
            raise
        in_order = [outcomes[job.folder] for job in jobs]
        _tell_failures(in_order)
        boundaries = None
        if has_boundaries(data.meta):
            first = [job for job in jobs if job.params.train.seed == 0 and not outcomes[job.folder].failure]
            boundaries = find_boundaries(first, data, load_test())
        told = write_report(report, named, data.meta, in_order, boundaries)
        description = describe_comparison(named.comparison, data.meta, told.summary)
        publisher.finish(report, "compare", told.metrics, description)
    print(f"{told.finding}\nthe report is {report / 'README.md'}")


def _open(publisher: Publisher, named: NamedComparison, jobs: list[Job], data: TrainingData) -> None:
    tags = {"wellfit.comparison": named.name, "mlflow.note.content": describe_comparison(named.comparison, data.meta)}
    details = {
        "file": named.name,
        "comparison": named.comparison.model_dump(mode="json"),
        "monitor": named.base.train.monitor,
        "variants": {str(job.folder.absolute()): job.variant for job in jobs},
    }
    params = flatten(resolved_config(named.base))
    publisher.open("compare", f"compare {named.name}", data.meta, params, tags, details)


def _jobs(named: NamedComparison, data: TrainingData) -> list[Job]:
    jobs = []
    for variant, params in named.variants.items():
        for seed in range(named.comparison.seeds):
            seeded = params.replace({"train.seed": seed})
            kept = outcome_folder(named.name, seeded, data.meta.sha256, named.comparison.weights)
            jobs.append(Job(variant, seeded, kept))
    return jobs


def _tell_failures(outcomes: list[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.failure]
    for outcome in failed:
        print(f"warning: {outcome.variant}, seed {outcome.seed} failed: {outcome.failure}")
    if len(failed) == len(outcomes):
        raise WellfitError(f"none of {len(outcomes)} trainings ended well: {failed[0].failure}")
