"""Charts of a training, of its predictions and of its data."""

from collections.abc import Mapping, Sequence

import numpy as np

from wellfit.charts.style import shortened
from wellfit.metrics.intervals import wilson_interval
from wellfit.metrics.names import is_share, score_name
from wellfit.metrics.predictions import confidence_bins
from wellfit.metrics.scores import FloatArray, IntArray
from wellfit.report.content import Chart, Series, Share, Table, number, percent, score, score_cell, so_many_rows
from wellfit.report.svg import HEIGHT, LINE, WIDTH, Axis, Plot

MOST_BANDS = 300  # epochs that are said by themselves when pointed at
MANY_CELLS = 20  # classes above which a confusion matrix shows shades alone
MANY_NAMES = 30  # classes above which bars have no names
MANY_POINTS = 1500  # rows above which a scatter becomes a density
CELLS = 40  # of a density along each side
TOP_CONFUSIONS = 10


def curves(history: Mapping[str, Sequence[float]], best_epoch: int, name: str) -> Chart:
    """A metric of the training and validation split after each epoch.

    Args:
        history: ``epoch``, and ``train/<name>`` and ``val/<name>``.
        best_epoch: whose weights were kept.
        name: of a metric, without its split.
    """
    epochs, training, validation = history["epoch"], history[f"train/{name}"], history[f"val/{name}"]
    words = score_name(name)
    plot = Plot(_epochs(epochs), Axis.over(words, [*training, *validation], percent=is_share(name)))
    plot.rule("mark", x=best_epoch)
    plot.line(epochs, training, "s2")
    plot.line(epochs, validation, "s1")
    plot.points([best_epoch], [validation[best_epoch - 1]], "s1", radius=4)
    rows = list(zip(map(int, epochs), training, validation, strict=True))
    _say_epochs(plot, rows, [f"training {words}", f"validation {words}"], name)
    first, last = ([score(name, values[at]) for values in (validation, training)] for at in (0, -1))
    says = (
        f"Validation {words} goes from {first[0]} in the first epoch to {last[0]} in the last, training {words} from "
        f"{first[1]} to {last[1]}. The weights of epoch {best_epoch} were kept, with "
        f"{score(name, validation[best_epoch - 1])} on validation rows."
    )
    legend = [Series("s1", "validation, after the epoch"), Series("s2", "training, during it")]
    title = words[0].upper() + words[1:]
    cells = [(epoch, *(score_cell(name, value) for value in values)) for epoch, *values in rows]
    table = Table(f"{title} by epoch", ["epoch", "training", "validation"], cells)
    return Chart(title, says, str(plot), legend, table)


def single_curve(history: Mapping[str, Sequence[float]], column: str, title: str) -> Chart:
    """A column of the history, such as the learning rate."""
    epochs, values = history["epoch"], history[column]
    plot = Plot(
        _epochs(epochs), Axis.over(title.lower(), values, log=False if column == "lr" else None), height=HEIGHT * 0.75
    )
    plot.line(epochs, values, "s1")
    rows = list(zip(map(int, epochs), values, strict=True))
    _say_epochs(plot, rows, [title.lower()])
    says = f"Highest {number(np.nanmax(values))}, in the last epoch {number(values[-1])}."
    return Chart(title, says, str(plot), (), Table(f"{title} by epoch", ["epoch", title.lower()], rows))


def _epochs(epochs: Sequence[float]) -> Axis:
    return Axis("epoch", 0.5, len(epochs) + 0.5, whole=True)


def _say_epochs(
    plot: Plot, rows: Sequence[tuple[int, *tuple[float, ...]]], names: Sequence[str], key: str = ""
) -> None:
    shown = rows[:: -(-len(rows) // MOST_BANDS)]
    tips = [
        f"epoch {epoch}\n" + "\n".join(f"{name} {score(key, value)}" for name, value in zip(names, values, strict=True))
        for epoch, *values in shown
    ]
    plot.bands([row[0] for row in shown], tips)


def confusion_matrix(matrix: IntArray, class_names: Sequence[str]) -> Chart:
    """How often each class was taken for each.

    Args:
        matrix: (C, C) counts; rows are the true classes, columns the predicted ones.
        class_names: C names.
    """
    classes, total, hits = len(class_names), int(matrix.sum()), int(np.trace(matrix))
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    few = classes <= MANY_CELLS
    x = Axis.of_names("predicted class", class_names)
    y = Axis.of_names("true class", class_names, backwards=True)
    side = max(WIDTH, 30.0 * classes) if few else 2 * WIDTH
    plot = Plot(x, y, side, side * (0.75 if classes <= 4 else 0.95 if few else 0.8))
    found = [(int(row), int(column)) for row, column in zip(*np.nonzero(matrix), strict=True)]
    for style, cells in (
        ("right", [place for place in found if place[0] == place[1]]),
        ("wrong", [place for place in found if place[0] != place[1]]),
    ):
        plot.boxes(
            [(column - 0.48, row - 0.48, column + 0.48, row + 0.48) for row, column in cells],
            style,
            [
                f"{class_names[row]} taken for {class_names[column]}\n{so_many_rows(matrix[row, column])}, "
                f"{percent(share[row, column])} of that class"
                for row, column in cells
            ],
            [0.12 + 0.88 * share[place] ** 0.5 for place in cells],  # square root: rare mistakes show
        )
    if few:
        for row, column in found:
            strong = 0.12 + 0.88 * share[row, column] ** 0.5 > 0.55
            plot.write(column, row, f"{matrix[row, column]:,}", "count strong" if strong else "count")
    mistakes = sorted(((int(matrix[p]), *p) for p in found if p[0] != p[1]), key=lambda each: (-each[0], each[1:]))
    says = f"{hits:,} of {total:,} test rows were predicted right ({percent(hits / total)})."
    if mistakes:
        count, row, column = mistakes[0]
        pair = f"{class_names[row]} was taken for {class_names[column]} ({so_many_rows(count)})."
        if len(mistakes) == 1:
            says += f" Only {pair}"
        elif count > mistakes[1][0]:
            says += f" Most often {pair}"
        else:
            says += f" The {total - hits:,} mistakes are of {len(mistakes):,} kinds, none of which leads."
        says += " The stronger a cell, the larger its share of the true class."
    if few:
        rows = [[name, *map(int, counts)] for name, counts in zip(class_names, matrix, strict=True)]
        table = Table("True class by row, predicted class by column", ["true class", *class_names], rows)
    else:
        rows = [[class_names[row], class_names[column], count] for count, row, column in mistakes[:TOP_CONFUSIONS]]
        table = Table("The most frequent mistakes", ["true class", "predicted class", "rows"], rows)
    legend = [Series("right", "predicted right", "shades"), Series("wrong", "predicted wrong", "shades")]
    return Chart("Confusion matrix", says, str(plot), legend, table, 0 if side == WIDTH else int(side * 0.8))


def reliability(y: IntArray, probabilities: FloatArray, bins: int, ece: float | None) -> Chart:
    """Accuracy against the probability of the predicted class, in bins.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
        bins: number of equal bins from 0 to 1.
        ece: the expected calibration error.
    """
    confidence, index = confidence_bins(probabilities, bins)
    counts = np.bincount(index, minlength=bins)
    used = np.flatnonzero(counts)
    rows = counts[used]
    right = probabilities.argmax(axis=1) == y
    accuracy = np.bincount(index, right, minlength=bins)[used] / rows
    mean = np.bincount(index, confidence, minlength=bins)[used] / rows
    low, high = wilson_interval(accuracy, rows)
    x = Axis("confidence: probability of the predicted class", 0, 1.02, percent=True)
    plot = Plot(x, Axis("accuracy", 0, 1.04, percent=True))
    plot.boxes([(b / bins, 0.0, (b + 0.92) / bins, n / len(y)) for b, n in zip(used, rows, strict=True)], "quiet")
    plot.segment((0, 0), (1, 1), "mark")
    for at, lower, upper in zip(mean, low, high, strict=True):
        plot.segment((at, lower), (at, upper), "s1 thin")
    tips = [
        f"confidence {percent(m)}\naccuracy {percent(a)} [{percent(lower)}, {percent(upper)}]\n{so_many_rows(n)}"
        for m, a, lower, upper, n in zip(mean, accuracy, low, high, rows, strict=True)
    ]
    plot.points(mean, accuracy, "s1", tips, radius=4)
    sure, hits = float(confidence.mean()), right.mean(keepdims=True)
    (least,), (most,) = wilson_interval(hits, np.array([len(y)]))
    word = (
        "over-confident" if sure > most else "under-confident" if sure < least else "about as confident as it is right"
    )
    says = (
        f"Mean confidence {percent(sure)}, accuracy {percent(hits[0])}: on the whole the model is {word}. "
        f"Expected calibration error {score('ece', ece)}. Points on the dotted line are calibrated; "
        "upright lines are 95 % intervals, bars the share of the rows."
    )
    header = ["confidence, mean of a bin", "accuracy", "low", "high", "rows"]
    cells = [(*map(Share, shares), n) for *shares, n in zip(mean, accuracy, low, high, rows, strict=True)]
    table = Table("Reliability by bin", header, cells)
    return Chart("Reliability", says, str(plot), (), table)


def predicted_against_actual(y: FloatArray, prediction: FloatArray, target: str, r2: float | None) -> Chart:
    """Predicted against actual values, as points or, where there are many, as a density.

    Args:
        y: (n,) actual values.
        prediction: (n,).
        target: its name, with its unit.
        r2: share of the variance that is explained.
    """
    name = shortened(target, 30)
    ends = float(min(y.min(), prediction.min())), float(max(y.max(), prediction.max()))
    x, y_axis = (Axis.over(f"{what} {name}", ends, log=False) for what in ("actual", "predicted"))
    plot = Plot(x, y_axis, square=True)
    if len(y) <= MANY_POINTS:
        tips = [f"actual {number(a)}\npredicted {number(p)}" for a, p in zip(y, prediction, strict=True)]
        plot.points(y, prediction, "s1 dots", tips, radius=2.5)
        what = "Each point is a test row"
    else:
        edges = np.linspace(*ends, CELLS + 1)
        counts = np.histogram2d(y, prediction, bins=(edges, edges))[0].astype(int)
        cells = list(zip(*np.nonzero(counts), strict=True))
        plot.boxes(
            [(edges[i], edges[j], edges[i + 1], edges[j + 1]) for i, j in cells],
            "right",
            [
                f"actual about {number(edges[i])}, predicted about {number(edges[j])}\n{so_many_rows(counts[i, j])}"
                for i, j in cells
            ],
            [0.15 + 0.85 * np.log1p(counts[i, j]) / np.log1p(counts.max()) for i, j in cells],
        )
        what = "The darker a cell, the more test rows are in it"
    plot.segment((ends[0], ends[0]), (ends[1], ends[1]), "mark")
    says = f"{what}; on the dotted line predicted equals actual. R² is {number(r2)}."
    return Chart("Predicted against actual", says, str(plot))


def histogram(parts: Mapping[str, FloatArray], label: str, title: str, says: str, *, zero: bool = False) -> Chart:
    """How values spread, as shares of each of up to two sets of them, side by side.

    Args:
        parts: name of a set to its values, (n,).
        label: what the values are.
        title: of the chart.
        says: what is to be seen.
        zero: whether 0 is marked.
    """
    everything = np.concatenate(list(parts.values()))
    bins = int(np.clip(np.sqrt(len(everything)), 6, 24))
    edges = np.histogram_bin_edges(everything, bins)
    counts = {name: np.histogram(values, edges)[0] for name, values in parts.items()}
    shares = {name: count / max(1, count.sum()) for name, count in counts.items()}
    top = max(float(share.max()) for share in shares.values())
    plot = Plot(Axis(shortened(label, 42), edges[0], edges[-1]), Axis("share of the rows", 0, 1.06 * top, percent=True))
    slot = (edges[1] - edges[0]) * 0.92 / len(parts)
    for number_of, (name, share) in enumerate(shares.items()):
        left = edges[:-1] + number_of * slot
        tips = [
            f"{name}: {number(low)} to {number(high)}\n{so_many_rows(count)}, {percent(part)}"
            for low, high, count, part in zip(edges[:-1], edges[1:], counts[name], share, strict=True)
        ]
        plot.boxes([(x, 0, x + slot, part) for x, part in zip(left, share, strict=True)], f"s{number_of + 1} bar", tips)
    if zero:
        plot.rule("mark", x=0)
    legend = [Series(f"s{i + 1}", name, "box") for i, name in enumerate(parts)] if len(parts) > 1 else []
    ends = zip(edges[:-1], edges[1:], *counts.values(), strict=True)
    rows = [[number(low), number(high), *map(int, row)] for low, high, *row in ends]
    return Chart(title, says, str(plot), legend, Table(f"{title} by interval", ["from", "to", *parts], rows))


def class_balance(counts: Sequence[int], class_names: Sequence[str]) -> Chart:
    """Rows of each class of the training split.

    Args:
        counts: C of them.
        class_names: C names.
    """
    total, rarest, most = sum(counts), int(np.argmin(counts)), int(np.argmax(counts))
    tips = [
        f"{name}\n{so_many_rows(count)}, {percent(count / max(1, total))}"
        for name, count in zip(class_names, counts, strict=True)
    ]
    rows = Axis("training rows", 0, 1.04 * max(counts))
    if len(counts) <= MANY_NAMES:
        plot = Plot(rows, Axis.of_names("", class_names, backwards=True), height=LINE * (len(counts) * 1.4 + 4))
        plot.boxes([(0, i - 0.38, count, i + 0.38) for i, count in enumerate(counts)], "s1 bar", tips)
    else:
        plot = Plot(Axis("class, by its number", -0.5, len(counts) - 0.5, whole=True), rows, height=HEIGHT * 0.8)
        plot.boxes([(i - 0.4, 0, i + 0.4, count) for i, count in enumerate(counts)], "s1 bar", tips)
    says = f"Each class has {counts[most]:,} training rows."
    if counts[most] != counts[rarest]:
        says = (
            f"The most frequent class, {class_names[most]}, has {counts[most]:,} training rows, the rarest, "
            f"{class_names[rarest]}, {counts[rarest]:,}."
        )
    return Chart("Class balance", says, str(plot))
