"""What a comparison found, computed from its numbers, in plain English."""

import math
from collections.abc import Callable, Sequence

from wellfit.compare.measures import Measure, listed
from wellfit.compare.outcome import Outcome
from wellfit.compare.statistics import Measured, Result
from wellfit.data.meta import Meta

FEW_VARIANTS = 4  # up to which a second measure is told variant by variant
MOST_CHANGES, MOST_UNCHANGED = 3, 2  # told with their intervals in one sentence
# How much a score of the training rows must be above that of a constant prediction to be something learned; a constant
# one is at it, but for rounding.
LEARNED = 0.005

Quote = Callable[[str], str]


class Finding:
    """The sentence, and a line for each variant.

    Args:
        results: of the variants; the others are compared with the first.
        measures: what is told, the most important first.
        meta: of the data.
        quote: what is done to texts of the user's, such as names of variants, before they enter a sentence.
    """

    def __init__(
        self, results: Sequence[Result], measures: Sequence[Measure], meta: Meta, quote: Quote = lambda text: text
    ) -> None:
        self._results, self._measures, self._meta, self._quote = results, measures, meta, quote
        self._first, *self._others = results

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        told = self._of_one() if not self._others else self._of_two() if len(self._results) == 2 else self._of_many()
        trouble = [
            f"{self._quote(result.variant)} {fault}" for result in self._results for fault in self._faults(result)
        ]
        seeds = max(len(result.outcomes) for result in self._results)
        return "; ".join([*told, *trouble]) + f" ({_count(seeds, 'seed')}, 95 % intervals)."

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The name of each variant, and all that is to be said of it."""
        return [(self._quote(result.variant), self._line(result)) for result in self._results]

    def _line(self, result: Result) -> str:
        if result is self._first:
            parts = self._values_of_first()
        else:
            changed, unchanged = self._changes(result)
            parts = [*changed, *([_unchanged(unchanged)] if unchanged else [])]
        return "; ".join([*parts, *self._faults(result)]) or "nothing to tell"

    def _values_of_first(self) -> list[str]:
        return [f"{m.label} {v}" for m in self._measures if (v := m.value(self._first.measured[m.key].mean))]

    def _of_one(self) -> list[str]:
        values = self._values_of_first()
        return [f"{self._quote(self._first.variant)} has {listed(values)}"] if values else []

    def _of_two(self) -> list[str]:
        (other,) = self._others
        first, second = self._quote(self._first.variant), self._quote(other.variant)
        changed, unchanged = self._changes(other)
        changed, unchanged = changed[:MOST_CHANGES], unchanged[:MOST_UNCHANGED]
        if changed:
            tail = [_unchanged(unchanged)] if unchanged else []
            return [f"Compared with {first}, {second} {listed(changed)}", *tail]
        if unchanged:
            return [f"Compared with {first}, {second} leaves {_unchanged(unchanged)}"]
        return [f"{first} and {second} cannot be compared: no seed has a score of both"]

    def _changes(self, result: Result) -> tuple[list[str], list[tuple[str, str]]]:
        """What differs from the first variant, as predicates, and what does not, with its difference."""
        changed: list[str] = []
        unchanged: list[tuple[str, str]] = []
        for measure in self._measures:
            measured = result.measured[measure.key]
            difference = measured.difference
            if math.isnan(difference.mean):
                continue
            if difference.excludes_zero or math.isnan(difference.low):
                changed.append(self._change(measure, measured))
            else:
                unchanged.append((measure.subject, measure.difference(difference)))
        return changed, unchanged

    def _change(self, measure: Measure, measured: Measured) -> str:
        first, difference = self._first.measured[measure.key].mean.mean, measured.difference
        size = measure.difference(difference, signed=False)
        relative = measure.relative(difference.mean, first)
        notes = [relative, "of one pair of seeds, so without an interval" if math.isnan(difference.low) else ""]
        note = ", ".join(filter(None, notes))
        verb = "raises" if difference.mean > 0 else "lowers"
        if measure.is_gap and min(first, measured.mean.mean) >= 0:
            verb = "widens" if difference.mean > 0 else "narrows"
        return f"{verb} {measure.subject} by {size}" + (f" ({note})" if note else "")

    def _of_many(self) -> list[str]:
        told = self._ranked(self._measures[0])
        for measure in self._measures[1:2]:
            told += self._second(measure) if len(self._results) <= FEW_VARIANTS else self._best_alone(measure)
        return told

    def _ranked(self, measure: Measure) -> list[str]:
        """Which variant is the best, and which differ from the first."""
        best = self._best(measure)
        first = self._quote(self._first.variant)
        if best is None:
            return [f"None of {len(self._results)} variants has a {measure.label}"]
        value = measure.value(best.measured[measure.key].mean)
        compared = [r for r in self._others if not math.isnan(r.measured[measure.key].difference.mean)]
        differing = self._clear(measure)
        if compared and not differing:
            said = f"None of the other {len(compared)} variants differs clearly from {first} in {measure.label}"
            return [f"{said}: {_superlative(measure)} with {self._quote(best.variant)}, {value}"]
        told = [
            f"{self._quote(best.variant)} has the {_superlative(measure)} {measure.label} of {len(self._results)} "
            f"variants, {value}"
        ]
        if best is not self._first and best not in differing:
            told[0] += f", no clear difference to {first}"
        if differing:
            rest = len(compared) - len(differing)
            told += [f"compared with {self._level(measure, best)}, {self._differing(measure, differing)}"]
            if rest:
                told += [
                    "the other one does not differ clearly" if rest == 1 else f"the other {rest} do not differ clearly"
                ]
        return told

    def _clear(self, measure: Measure) -> list[Result]:
        """The variants that differ clearly from the first, the best first."""
        sign = -1.0 if measure.higher_is_better else 1.0
        differing = [result for result in self._others if result.measured[measure.key].difference.excludes_zero]
        return sorted(differing, key=lambda result: sign * result.measured[measure.key].difference.mean)

    def _level(self, measure: Measure, best: Result) -> str:
        if best is self._first:
            return "it"
        return f"{self._quote(self._first.variant)} ({measure.value(self._first.measured[measure.key].mean)})"

    def _differing(self, measure: Measure, results: Sequence[Result]) -> str:
        """Variants with what they differ by; without intervals where there are many."""
        if len(results) <= MOST_CHANGES:
            return listed(
                f"{self._quote(result.variant)} is {measure.difference(difference, signed=False)} "
                f"{_comparative(measure, difference.mean)}"
                for result in results
                for difference in [result.measured[measure.key].difference]
            )
        return f"it is {self._briefly(measure, results)}"

    def _briefly(self, measure: Measure, results: Sequence[Result]) -> str:
        """``higher with adam (+2.1 points), lower with sgd (-1.0 points)``."""
        groups: dict[str, list[str]] = {}
        for result in results:
            difference = result.measured[measure.key].difference
            told = measure.difference(difference._replace(low=math.nan, high=math.nan))
            word = _comparative(measure, difference.mean)
            groups.setdefault(word, []).append(f"{self._quote(result.variant)} ({told})")
        return ", ".join(f"{word} with {listed(names)}" for word, names in groups.items())

    def _second(self, measure: Measure) -> list[str]:
        if differing := self._clear(measure):
            return [f"{measure.subject} is {self._briefly(measure, differing)}"]
        if any(not math.isnan(r.measured[measure.key].difference.mean) for r in self._others):
            return [f"{measure.subject} does not differ clearly"]
        return []

    def _best_alone(self, measure: Measure) -> list[str]:
        if (best := self._best(measure)) is None:
            return []
        value = measure.value(best.measured[measure.key].mean)
        return [f"{measure.subject} is {_superlative(measure)} with {self._quote(best.variant)}, {value}"]

    def _best(self, measure: Measure) -> Result | None:
        """The first of those with the best mean; None where no variant has one."""
        sign = -1.0 if measure.higher_is_better else 1.0
        scored = [result for result in self._results if not math.isnan(result.measured[measure.key].mean.mean)]
        return min(scored, key=lambda result: sign * result.measured[measure.key].mean.mean, default=None)

    def _faults(self, result: Result) -> list[str]:
        """What went wrong with its trainings."""
        faults, failed, trainings = [], result.failed, len(result.outcomes)
        if failed:
            faults.append(f"failed with {_share(len(failed), trainings)} ({self._quote(failed[0].failure)})")
        idle = [outcome for outcome in result.trained if not has_learned(outcome, self._meta)]
        if idle:
            with_seeds = f" with {_share(len(idle), trainings)}" if len(idle) < trainings else ""
            faults.append(f"did not learn{with_seeds}: always the same answer would score as well")
        return faults


def has_learned(outcome: Outcome, meta: Meta) -> bool:
    """Whether the weights know more of the training rows than the best constant prediction.

    That one has a balanced accuracy of 1 / classes, an accuracy of the share of the most frequent class, an R² of 0.

    Args:
        outcome: of a training that did not fail.
        meta: of the data; its counts are those of the training rows.
    """
    scores = outcome.scores
    counts = [count for count in meta.class_counts if count]
    constants = [("r2", 0.0)]
    if counts:
        constants = [("balanced_accuracy", 1 / len(counts)), ("accuracy", max(counts) / sum(counts))]
    for split in ("train", "test"):
        for name, constant in constants:
            if f"{split}/{name}" in scores:
                return scores[f"{split}/{name}"] > constant + LEARNED
    return True


def _superlative(measure: Measure) -> str:
    return "highest" if measure.higher_is_better else "smallest" if measure.is_gap else "lowest"


def _comparative(measure: Measure, difference: float) -> str:
    if measure.is_gap:
        return "wider" if difference > 0 else "narrower"
    return "higher" if difference > 0 else "lower"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _share(part: int, whole: int) -> str:
    if part < whole:
        return f"{part} of {_count(whole, 'seed')}"
    return {1: "the only seed", 2: "both seeds"}.get(whole, f"all {whole} seeds")


def _unchanged(measures: Sequence[tuple[str, str]]) -> str:
    """``test accuracy unchanged (+0.1 points [-0.3, 0.5])``."""
    if len(measures) == 1:
        return f"{measures[0][0]} unchanged ({measures[0][1]})"
    return f"{listed(f'{subject} ({difference})' for subject, difference in measures)} unchanged"
