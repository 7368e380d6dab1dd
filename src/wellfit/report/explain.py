"""What the predictions depend on: charts, what is to be seen in them, and what must not be read into them."""

from typing import Any, NamedTuple

import numpy as np

from wellfit.charts import explain as charts
from wellfit.charts.style import plain
from wellfit.data.meta import Meta
from wellfit.data.store import Split
from wellfit.explain.columns import Feature
from wellfit.explain.explanation import Explanation, ImageExplanation, TableExplanation
from wellfit.metrics.names import is_higher_better, score_name
from wellfit.metrics.scores import FloatArray
from wellfit.report.content import Chart, Raw, Table, cell, number, percent, raw, rows_in_words, score_cell, scores

NAMED = 3  # columns in a sentence
MOST_PAIRS = 4  # of columns that say much the same, likewise
MOST_ROWS = 60  # columns in the table of importance


class Explained(NamedTuple):
    """The section of the page, and its pictures.

    Attributes:
        says: what matters most.
        caveats: what must not be read into it, a sentence or two each.
        charts: name of a picture to its chart, in the order of the page.
    """

    says: str
    caveats: list[str]
    charts: dict[str, Chart]


def explained(found: Explanation | None, test: Split, predictions: FloatArray, meta: Meta) -> Explained:
    """What the predictions depend on.

    Args:
        found: by :func:`wellfit.explain.explanation.explain`; None where that was not asked for.
        test: the test split.
        predictions: for all of it, (n, C) or (n,).
        meta: of the data.
    """
    if found is None:
        return Explained("Not asked for: explain.enabled is false.", [], {})
    if isinstance(found, ImageExplanation):
        return Explained(_images_in_words(found), [], {"heat_maps": _heat_maps(found, test, predictions, meta)})
    drawn = {"importance": _importance(found)}
    if found.dependence:
        drawn["dependence"] = _dependence(found, meta)
    drawn["contributions"] = _contributions(found, test, meta)
    return Explained(_most_important(found), _caveats(found), drawn)


def _most_important(found: TableExplanation) -> str:
    importance = found.importance
    name, worse = next(iter(importance.scores.items()))
    clear = [i for i in importance.order if worse.low[i] > 0]
    change = f"{'lowers' if is_higher_better(name) else 'raises'} the test {score_name(name)}"
    if not clear:
        return f"No column matters clearly: shuffling one {change} by no more than chance might."
    by = [f"{importance.names[i]} (by {scores(name, [worse.mean[i]])[0]})" for i in clear[:NAMED]]
    rest = len(importance.names) - len(clear)
    says = f"Shuffling a column over the rows {change}, most of all {_listed(by)}."
    if rest:
        says += f" {rest:,} of {len(importance.names):,} columns matter{'s' * (rest == 1)} no more than chance might."
    return says


def _caveats(found: TableExplanation) -> list[str]:
    shared = (
        "Columns that say much the same share their importance: where one is shuffled, the model still has the other, "
        "so both can look less important than they are together. And a shuffled row may be one that cannot exist."
    )
    if found.related:
        pairs = [f"{one} and {other} ({number(round(r, 2))})" for one, other, r in found.related[:MOST_PAIRS]]
        more = f" and {len(found.related) - MOST_PAIRS:,} more pairs" * (len(found.related) > MOST_PAIRS)
        shared += f" Strongly correlated here: {'; '.join(pairs)}{more}."
    return [shared, "All of this is about the model. What it relies on need not be what causes the target."]


def _importance(found: TableExplanation) -> Chart:
    importance = found.importance
    names = [score_name(name) for name in importance.scores]
    times = "once" if importance.repeats == 1 else f"{importance.repeats} times"
    says = (
        f"By how much {' and '.join(names)} become{'s' * (len(names) == 1)} worse when a column is shuffled over "
        f"{rows_in_words(importance.rows)} of the test split, {times}. The lines are 95 % intervals: other rows, "
        "shuffled otherwise, might give what they span."
    )
    header = ["column"]
    for name in importance.scores:
        header += [f"{score_name(name)}, {'fall' if is_higher_better(name) else 'rise'}", "low", "high"]
    rows: list[list[Any]] = [
        [
            importance.names[i],
            *(
                score_cell(name, float(values[i]))
                for name, worse in importance.scores.items()
                for values in (worse.mean, worse.low, worse.high)
            ),
        ]
        for i in importance.order[:MOST_ROWS]
    ]
    return Chart("Importance", says, charts.importance(importance), Table("Importance by column", header, rows))


def _dependence(found: TableExplanation, meta: Meta) -> Chart:
    outputs = [meta.class_names[i] for i in found.outputs] if meta.class_names else [meta.target_name]
    what = f"the probability of {outputs[0]}" if meta.class_names else outputs[0]
    if len(outputs) > 1:
        what = "the probability of each class"
        if len(outputs) < len(meta.class_names):
            what = f"the probability of the {len(outputs)} most frequent classes"
    says = (
        f"Partial dependence: the mean of {what} if all rows had this value in the column and were else as they are. "
        "Where thin lines of single rows are not parallel, the effect depends on other columns."
    )
    are_shares = meta.task == "classification"
    write = percent if are_shares else number
    rows = []
    for each in found.dependence:
        values = each.categories or [cell(Raw(value)) for value in each.values]
        for name, mean in zip(outputs, each.mean.T, strict=True):
            low, high = int(mean.argmin()), int(mean.argmax())
            row = [each.name, write(float(mean[low])), values[low], write(float(mean[high])), values[high]]
            rows.append([*row, name] if len(outputs) > 1 else row)
    header = ["column", "lowest mean", "at", "highest mean", "at", *(["class"] if len(outputs) > 1 else [])]
    return Chart(
        "Partial dependence",
        says,
        charts.dependence(found.dependence, outputs, are_shares=are_shares),
        Table("Lowest and highest mean prediction by column", header, rows),
    )


def _contributions(found: TableExplanation, test: Split, meta: Meta) -> Chart:
    contributions, examples = found.contributions, found.examples
    are_shares = meta.task == "classification"
    what = "the probability of the predicted class" if are_shares else "the prediction"
    worst = "most confident mistakes" if are_shares else "largest errors"
    count = examples.mistakes
    whose = f"The first {count} are the {worst}, the others usual rows" if count > 1 else "The rows are usual ones"
    if count == 1:
        whose = f"The first row is the {worst.removesuffix('s')}, the others are usual ones"
    says = (
        f"What moves {what} away from its mean over {rows_in_words(found.permutations)} of the training split: Shapley "
        f"values, which add up to the difference, by as many orders of the columns and their reverses. {whose}."
    )
    titles, names, rows = [], [], []
    for i, (row, output) in enumerate(zip(examples.rows, examples.outputs, strict=True)):
        titles.append(_title(found, i, test, meta))
        cells = [raw(feature.cell(test.x[row])) for feature in found.features]
        names.append([_with_value(feature, value) for feature, value in zip(found.features, cells, strict=True)])
        for j in np.argsort(-np.abs(contributions.values[i]), kind="stable")[: charts.MOST_BARS]:
            predicted = meta.class_names[output] if are_shares else float(contributions.predictions[i])
            moved = (float(contributions.values[i, j]), float(contributions.errors[i, j]))
            rows.append([str(test.ids[row]), predicted, found.features[j].name, cell(cells[j]), *moved])
    header = ["row", "predicted", "column", "value", "contribution", "standard error"]
    return Chart(
        "Contributions to single predictions",
        says,
        charts.contributions(contributions, names, titles, what, are_shares=are_shares),
        Table("The largest contributions to each prediction", header, rows),
    )


def _with_value(feature: Feature, value: Any) -> str:
    """A column with what it holds; what is made of several columns has no value of its own."""
    if len(feature.places) > 1:
        return feature.name
    return f"{feature.name} is missing" if value is None else f"{feature.name} = {cell(value)}"


def _title(found: TableExplanation, i: int, test: Split, meta: Meta) -> str:
    row, contributions = found.examples.rows[i], found.contributions
    prediction, base = float(contributions.predictions[i]), float(contributions.base[i])
    if meta.task == "regression":
        return (
            f"Row {plain(str(test.ids[row]))}: {number(prediction)}, actually {number(float(test.y[row]))}\n"
            f"(mean prediction {number(base)})"
        )
    actual, predicted = int(test.y[row]), int(found.examples.outputs[i])
    truth = "" if actual == predicted else f", actually {plain(meta.class_names[actual], 12)}"
    return (
        f"Row {plain(str(test.ids[row]))}: {plain(meta.class_names[predicted], 12)} {percent(prediction)}{truth}\n"
        f"(mean probability of the class {percent(base)})"
    )


def _images_in_words(found: ImageExplanation) -> str:
    return (
        "A patch in the mean colour, a fourth of the image high and wide, hides one part of an image after the other "
        f"(Zeiler and Fergus 2014), for {len(found.examples.rows)} test images."
    )


def _heat_maps(found: ImageExplanation, test: Split, predictions: FloatArray, meta: Meta) -> Chart:
    titles = []
    is_classification = meta.task == "classification"
    for row, output, lowest in zip(found.examples.rows, found.examples.outputs, found.occlusion.lowest, strict=True):
        if is_classification:
            actual, predicted = (plain(meta.class_names[i], 12) for i in (int(test.y[row]), output))
            first = actual if actual == predicted else f"{actual} taken for {predicted}"
            titles.append(f"{first}\n{percent(float(predictions[row, output]))}, part hidden {percent(float(lowest))}")
        else:
            first = f"{number(float(test.y[row]))} predicted as {number(float(predictions[row]))}"
            titles.append(f"{first}\npart hidden {number(float(lowest))}")
    what = "the probability of the predicted class" if is_classification else "the prediction"
    says = (
        f"Where {what} falls when a part is hidden (blue), the model sees there what speaks for it; where it rises "
        "(red), what speaks against it. The stronger the colour, the more"
        f"{', in log-odds' if is_classification else ''}; all images are on one scale. Above each stands the "
        "prediction, and the lowest one with a part hidden."
    )
    count = found.examples.mistakes
    if count:
        says += f" The first {'is a mistake' if count == 1 else f'{count} are mistakes'}, the others are usual."
    images = np.asarray(test.x[found.examples.rows])
    return Chart("Occlusion", says, charts.heat_maps(images, found.occlusion.heat, titles, what))


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
