"""``README.md`` of a comparison, in the Markdown that GitHub shows."""

import json
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from wellfit.compare.comparison import Comparison, NamedComparison, has_stage
from wellfit.compare.finding import Finding
from wellfit.compare.measures import Measure, listed
from wellfit.compare.statistics import Result
from wellfit.data.meta import SPLIT_NAMES, Meta
from wellfit.files import write_text

WEIGHTS = {"best": "of the best validation epoch", "last": "of the last epoch"}
# What Markdown, GitHub's mathematics or HTML would take for its own.
MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "<span>$</span>", "[": "&#91;", "]": "&#93;"}


def markdown(text: str) -> str:
    """A text of the user's as Markdown shows it literally, in a sentence or in a cell of a table."""
    text = re.sub(r"[&<>$\[\]]", lambda found: MARKUP[found[0]], " ".join(text.split()))
    return re.sub(r"([\\`*_|~])", r"\\\1", text)


def code(value: Any) -> str:
    """A value of a setting, as YAML has it, in a sentence or in a cell of a table."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    plain = " ".join(text.split())
    return markdown(text) if "`" in plain or not plain else "`" + plain.replace("|", r"\|") + "`"


def write_page(
    file: Path,
    named: NamedComparison,
    meta: Meta,
    results: Sequence[Result],
    measures: Sequence[Measure],
    pictures: Sequence[str],
) -> str:
    """Writes the page, and returns what it says above its pictures.

    Args:
        file: ``README.md``.
        named: the comparison.
        meta: of the data.
        results: of the variants.
        measures: what was measured.
        pictures: which there are in ``plots/``, without ``.png``.
    """
    comparison = named.comparison
    finding = Finding(results, measures, meta, markdown)
    summary = [
        f"# {markdown(comparison.title)}",
        markdown(comparison.question),
        f"**Finding.** {finding.sentence}",
        "\n".join(f"- **{variant}**: {line}" for variant, line in finding.lines),
        *_scores(results, measures, meta),
    ]
    below = [
        *(_picture(picture, comparison.title) for picture in pictures),
        *_settings(comparison),
        f"## What is known\n\n{markdown(comparison.expectation)}",
        _how(named, meta),
    ]
    write_text(file, "\n\n".join([*summary, *below]) + "\n")
    return "\n\n".join(summary)


def _scores(results: Sequence[Result], measures: Sequence[Measure], meta: Meta) -> list[str]:
    labels = [measure.label for measure in measures]
    rows = [
        [
            markdown(result.variant),
            *(measure.value(result.measured[measure.key].mean) or "–" for measure in measures),
            _number(result.best_epoch, 0),
            _number(result.seconds, 1),
            f"{len(result.trained)}" + (f" of {len(result.outcomes)}" if result.failed else ""),
        ]
        for result in results
    ]
    blocks = [
        "## Scores",
        "Means over the seeds, with 95 % intervals by Student's t." + _unit(measures, meta),
        _table(["variant", *labels, "best epoch", "seconds", "seeds"], rows),
    ]
    if len(results) == 1:
        return blocks
    differences = [
        [markdown(result.variant), *(_difference(result, measure) for measure in measures)] for result in results[1:]
    ]
    note = "Bold: the interval excludes zero. 'Unchanged' means that it holds zero: so many seeds show no difference."
    if len(results) > 2:
        note += " Each interval is for itself: of twenty, one misses on average."
    return [
        *blocks,
        f"Differences to {markdown(results[0].variant)}, of pairs with the same seed:",
        _table(["variant", *labels], differences),
        note,
    ]


def _unit(measures: Sequence[Measure], meta: Meta) -> str:
    names = list(dict.fromkeys(measure.name for measure in measures if measure.score in ("mae", "rmse")))
    verb = "is" if len(names) == 1 else "are"
    return f" {listed(names)} {verb} in the unit of {markdown(meta.target_name)}." if names else ""


def _difference(result: Result, measure: Measure) -> str:
    difference = result.measured[measure.key].difference
    told = measure.difference(difference) or "–"
    return f"**{told}**" if difference.excludes_zero else told


def _picture(name: str, title: str) -> str:
    headings = {
        "curves": ("Curves", "loss and score of the training and the validation rows over the epochs"),
        "traces": (
            "What explains them",
            "gradient norm and gap of the loss over the epochs, and the learning rate where it varies",
        ),
        "table": ("Differences", "differences to the first variant with their intervals, a dot for each seed"),
        "boundaries": ("Decision boundaries", "predicted probabilities over the two features, with the test rows"),
        "schedules": ("Learning rates", "learning rate over the epochs, a panel for each variant"),
    }
    heading, shown = headings[name]
    return f"## {heading}\n\n![{markdown(title)}: {shown}](plots/{name}.png)"


def _settings(comparison: Comparison) -> list[str]:
    variants = [
        [markdown(variant), ", ".join(f"`{key}` = {code(value)}" for key, value in changes.items()) or "–"]
        for variant, changes in comparison.variants.items()
    ]
    held = [[f"`{key}`", code(value)] for key, value in comparison.base.items()]
    rest = "as in `comparisons/base.yaml`"
    return [
        "## Settings",
        "What differs between the variants:",
        _table(["variant", "settings"], variants),
        f"What was held fixed, everything else {rest}:" if held else f"Everything else is {rest}.",
        *([_table(["key", "value"], held)] if held else []),
    ]


def _how(named: NamedComparison, meta: Meta) -> str:
    command = f"python pipelines/compare.py --name {named.name}"
    if named.given:
        command += "".join(f" --set {shlex.quote(f'{key}={json.dumps(value)}')}" for key, value in named.given.items())
    elif has_stage(named.name):
        command = f"dvc repro comparisons/dvc.yaml:{named.name}"
    rows = ", ".join(f"{meta.split_sizes[split]:,} {split}" for split in SPLIT_NAMES)
    return (
        "## Run it\n\n"
        f"```sh\n{command}\n```\n\n"
        f"Data: {markdown(meta.name)}, one split into {rows} rows (sha256 `{meta.sha256[:12]}`). "
        f"Seeds 0 to {named.comparison.seeds - 1}, the same for each variant: of initial weights, batch order and "
        f"dropout. The weights scored are those {WEIGHTS[named.comparison.weights]}. "
        "Files: `table.csv`, `runs.csv` (every training), `history.csv` (every epoch)."
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float, decimals: int) -> str:
    return "–" if math.isnan(value) else f"{value:,.{decimals}f}"
