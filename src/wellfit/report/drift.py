"""Whether new rows have changed, as one page: ``predict --check`` writes it beside the predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wellfit.charts.drift import shares
from wellfit.data.meta import Meta
from wellfit.files import write_text
from wellfit.report.content import Chart, Share, Table, rows_in_words
from wellfit.report.page import render
from wellfit.serving.drift import CHANCE, FEW_ROWS, MUCH, SOME, Comparison, Drift

MOST_COLUMNS = 200  # of the table
MOST_CHARTS = 6  # of columns
MOST_BARS = 12
READ = (
    "The population stability index (PSI) adds up (new share \N{MINUS SIGN} old share) \N{MULTIPLICATION SIGN} "
    "ln(new share / old share) over the bins of a column, which are tenths of the training rows where it has numbers. "
    f"Up to {SOME} little has moved, above {MUCH} much (Siddiqi 2006). Where rows are few, chance alone comes to more, "
    f"and the limit is higher: of files whose rows come about as before, about 1 in {round(1 / CHANCE)} has anything "
    "above its limit (Yurdakul 2018). Each column is looked at by itself, and the predictions beside those of the "
    "validation rows. Whether the same rows have other targets now is not to be seen."
)
TO_DO = (
    "Look at how the file came about: another unit or spelling, a filter, a column that is no longer filled.",
    "If the rows did change, the scores of the model may not hold for them: score it on rows whose targets are known, "
    "and train again with newer rows.",
)


def write_drift_page(page: Path, meta: Meta, rows_of: str, found: Comparison, notes: Sequence[str]) -> None:
    """Writes the page; the same rows give the same bytes.

    Args:
        page: the file to make or replace.
        meta: of the data that the model was trained on.
        rows_of: the file or folder of the new rows.
        found: they beside the training rows.
        notes: what is odd about them, one sentence each.
    """
    columns, predictions = found.columns, found.predictions
    moved = [each for each in columns if each.moved != "no"]
    much = sum(each.moved == "much" for each in moved)
    content = {
        "name": meta.title,
        "headline": (
            f"{moved_in_words(found, meta)}: {rows_in_words(found.rows)} of {rows_of} beside {found.training_rows:,} "
            "training rows."
        ),
        "few": few_rows_in_words(found.rows),
        "cards": [
            ("new rows", f"{found.rows:,}", f"beside {found.training_rows:,}"),
            (f"{_kind(meta)} that moved", f"{len(moved)}", f"of {len(columns)}, {much} much"),
            ("PSI of predictions", f"{predictions.psi:.3f}", f"limit {predictions.limit:.3g}"),
        ],
        "to_do": TO_DO if found.moved else (),
        "notes": notes,
        "table_of_columns": _table(columns, predictions),
        "charts_of_columns": [
            *(_chart(each, each.name, "training rows") for each in (moved or columns[:2])[:MOST_CHARTS]),
            _chart(predictions, f"Predicted {predictions.name}", "validation rows"),
        ],
        "read": READ,
    }
    write_text(page, render("drift.html.j2", content))


def moved_in_words(found: Comparison, meta: Meta) -> str:
    """How many of the columns moved, and whether the predictions did."""
    moved = sum(each.moved != "no" for each in found.columns)
    also = "" if found.predictions.moved == "no" else " and the predictions"
    return f"{moved} of {len(found.columns)} {_kind(meta)}{also} moved"


def _kind(meta: Meta) -> str:
    """What an image has in place of columns."""
    return "columns" if meta.kind == "table" else "properties"


def few_rows_in_words(rows: int) -> str:
    """What holds of a comparison of few rows; empty where they are many."""
    if rows >= FEW_ROWS:
        return ""
    verb = "is" if rows == 1 else "are"
    return f"{rows_in_words(rows)} {verb} few to compare: below {FEW_ROWS} only gross changes stand out from chance"


def _table(columns: Sequence[Drift], predictions: Drift) -> Table:
    shown = columns[:MOST_COLUMNS]
    more = f" (the first {MOST_COLUMNS} of {len(columns)})" if len(columns) > MOST_COLUMNS else ""
    rows = [
        [name, round(each.psi, 3), round(each.limit, 3), each.moved, _says(each)]
        for name, each in [*((each.name, each) for each in shown), (f"predicted {predictions.name}", predictions)]
    ]
    return Table(
        f"All columns, worst first{more}, and the predictions",
        ["column", "PSI", "limit", "moved", "where it differs most"],
        rows,
    )


def _chart(each: Drift, title: str, before: str) -> Chart:
    """The bins that differ most, in their order.

    Args:
        each: a column, or the predictions.
        title: of the chart.
        before: what new rows are compared with.
    """
    shown = np.sort(np.argsort(-each.differences, kind="stable")[:MOST_BARS])
    labels, trained, new = [each.labels[i] for i in shown], each.trained[shown], each.new[shown]
    rows = [[label, Share(once), Share(now)] for label, once, now in zip(labels, trained, new, strict=True)]
    left = len(each.labels) - len(shown)
    says = f"PSI {each.psi:.3g}, limit {each.limit:.3g}: {_says(each)}."
    if left:
        says += f" The {len(shown)} bins that differ most; {left} more are left out."
    table = Table(f"Share of the rows of {title}", ["bin", before, "new rows"], rows)
    return Chart(title, says, shares(labels, trained, new, (before, "new rows")), table)


def _says(each: Drift) -> str:
    """The bin that differs most, in words that a line does not break at a number."""
    return each.says.replace(" %", "\N{NO-BREAK SPACE}%")
