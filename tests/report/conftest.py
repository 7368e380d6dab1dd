"""Runs that were never trained, with all that the stages leave of one, and a reader of the page."""

import shutil
from collections.abc import Sequence
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from wellfit.baselines.comparison import compare
from wellfit.baselines.fit import Fitted
from wellfit.data.meta import SPLIT_NAMES, Column, Meta, SplitName
from wellfit.data.store import Split, load_split, save_meta, save_split
from wellfit.explain.explanation import explain
from wellfit.files import write_csv, write_json, write_text
from wellfit.manifest import write_manifest
from wellfit.metrics.intervals import bootstrap_intervals
from wellfit.metrics.predictions import ClassificationScores, per_class_report, regression_scores
from wellfit.report.charts import errors, of_classes, predicted_against_actual
from wellfit.report.explain import explained
from wellfit.report.page import write_page
from wellfit.report.records import Evaluated, read_records
from wellfit.settings.params import Params, load_params
from wellfit.training.checkpoint import load_checkpoint, save_checkpoint
from wellfit.training.record import REPORT_FILES, resolved_config
from wellfit.tuning.best import write_no_tuning
from wellfit.tuning.report import Row, write_report

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
VOID = {"meta", "link", "img"}


def made_up(
    folder: Path,
    *,
    classes: Sequence[str] = ("no", "yes"),
    columns: Sequence[str] = ("size", "price"),
    images: bool = False,
    rows: int = 120,
    settings: Sequence[str] = (),
    warnings: Sequence[str] = (),
    explains: bool = False,
) -> Evaluated:
    """A run on random data, scored with random predictions that are mostly right.

    Args:
        folder: of the project, made where it is not there.
        classes: their names; none for a regression.
        columns: of numbers, in a table; one of categories comes after them.
        images: or a table.
        rows: of each split.
        settings: overrides of ``params.yaml``.
        warnings: of the data.
        explains: whether a model that adds up columns or pixels is explained; the predictions are not of it.
    """
    name = "images" if images else "csv"
    given = [f"data.name={name}", "data.target=t", "data.path=own", *settings]
    params = load_params(PARAMS_FILE, given)
    meta, test = _data(folder / "data", name, classes, columns, rows, warnings)
    random = np.random.default_rng(1)
    y = np.asarray(test.y)
    if classes:
        logits = random.normal(size=(rows, len(classes))) + 3 * (y[:, None] == np.arange(len(classes)))
        predictions = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        bins = params.evaluate.calibration_bins
        metrics = bootstrap_intervals(ClassificationScores(y, predictions, bins), rows, 100, 0)
        charts = list(of_classes(y, predictions, classes, bins, metrics["ece"]).values())
        per_class = per_class_report(y, predictions, classes)
    else:
        predictions = y + random.normal(size=rows)
        metrics = bootstrap_intervals(partial(regression_scores, y, predictions), rows, 100, 0)
        charts = [predicted_against_actual(y, predictions, "price", metrics["r2"]), errors(y, predictions, "price")]
        per_class = []
    kept = {"val/loss": 0.25, "val/accuracy": 0.75} if classes else {"val/loss": 0.25, "val/rmse": 0.75}
    info = {"config": resolved_config(params), "data_sha256": meta.sha256, "epoch": 3, "metrics": kept}
    file = folder / "models" / "best.safetensors"
    save_checkpoint(file, {}, info)
    checkpoint = load_checkpoint(file)
    found = None
    if explains:
        train = load_split(folder / "data", meta, "train")
        found = explain(partial(_sums, classes=len(classes)), train, test, predictions, meta, params.explain)
    depends = explained(found, test, predictions, meta)
    return Evaluated(
        params,
        meta,
        folder / "data",
        test,
        checkpoint,
        file,
        predictions,
        metrics,
        charts,
        per_class,
        explained=depends,
    )


def _sums(rows: np.ndarray, *, classes: int) -> np.ndarray:
    """Numbers, or probabilities of classes, from the sum of what a row has."""
    score = rows.reshape(len(rows), -1).mean(axis=1, dtype=np.float64)
    if not classes:
        return 5 * score
    odds = np.exp(score[:, np.newaxis] * np.linspace(-0.3, 0.3, classes))
    return odds / odds.sum(axis=1, keepdims=True)


def _data(
    folder: Path, name: str, classes: Sequence[str], columns: Sequence[str], rows: int, warnings: Sequence[str]
) -> tuple[Meta, Split]:
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    splits: dict[SplitName, Split] = {}
    for split in SPLIT_NAMES:
        y = random.permutation(np.arange(rows) % len(classes)) if classes else random.normal(50, 9, rows)
        x: Any = random.normal(10, 2, (rows, len(columns) + 2)).astype(np.float32)
        x[:, -2:] = random.integers(0, 2, (rows, 2))  # a flag of the first column, and a code
        x[:, -1] -= x[:, -2]
        if name == "images":
            x = random.integers(0, 17, (rows, 1, 8, 8)).astype(np.uint8)
        splits[split] = Split(x, y, np.arange(1000, 1000 + rows))
    numbers = [Column(name=c, fill=10.0, flags_missing=i == 0, categories=()) for i, c in enumerate(columns)]
    colour = Column(name="colour", fill=None, flags_missing=False, categories=("red", "blue"))
    manifest: dict[str, str] = {}
    for split in SPLIT_NAMES:
        manifest |= save_split(folder, split, splits[split])
    image = name == "images"
    meta = Meta(
        name=name,
        kind="images" if image else "table",
        task="classification" if classes else "regression",
        columns=() if image else (*numbers, colour),
        class_names=tuple(classes),
        target_name="kind" if classes else "price in dollars",
        input_shape=splits["train"].x.shape[1:],
        split_sizes=dict.fromkeys(SPLIT_NAMES, rows),
        mean=(8.0,) if image else (10.0,) * len(columns) + (0.5,),
        std=(5.0,) if image else (2.0,) * len(columns) + (0.5,),
        target_mean=None if classes else 50.0,
        target_std=None if classes else 9.0,
        class_counts=tuple(np.bincount(splits["train"].y).tolist()) if classes else (),
        warnings=tuple(warnings),
        manifest=manifest,
    )
    save_meta(folder, meta)
    return meta, splits["test"]


def with_baselines(run: Evaluated) -> Evaluated:
    """The run beside a linear model that is nearly as good, and a constant."""
    y, random = np.asarray(run.test.y), np.random.default_rng(3)
    if run.is_classification:
        other = 0.9 * run.predictions + 0.1 * random.dirichlet(np.ones(len(run.meta.class_names)), len(y))
        constant = np.tile(np.bincount(y) / len(y), (len(y), 1))
        validation = {"accuracy": 0.7, "log_loss": 0.5}
    else:
        other, constant = run.predictions + random.normal(size=len(y)), np.full(len(y), y.mean())
        validation = {"rmse": 1.5, "mae": 1.0}
    worse = {name: 2 * value for name, value in validation.items()}
    fitted = [Fitted("linear", {"l2": 10.0}, validation, other), Fitted("constant", {}, worse, constant)]
    compared = compare(run.predictions, fitted, run.test, run.meta, run.params.evaluate)
    return run._replace(baselines=compared)


def leave_training(
    reports: Path, *, epochs: int = 5, warnings: Sequence[tuple[str, str]] = (), score: str = "accuracy"
) -> None:
    """What ``train`` leaves of the checkpoint of :func:`made_up`."""
    columns = ["epoch", "train/loss", f"train/{score}", "grad_norm", "val/loss", f"val/{score}", "lr"]
    table = [[i, 1 / i, 0.7, 2.0 / i, 0.4, 0.5, 0.01 / i] for i in range(1, epochs + 1)]
    table[2][4:6] = [0.25, 0.75]
    write_csv(reports / "train" / "history.csv", columns, table)
    write_json(reports / "train" / "verdict.json", {"warnings": [{"kind": k, "text": t} for k, t in warnings]})
    write_text(reports / "train" / "summary.txt", "mlp: 12 parameters\n")
    write_csv(reports / "train" / "ensemble.csv", ["model", "share", "val_loss"], [])
    write_json(reports / "train" / "metrics.json", {})
    write_manifest(reports / "train", REPORT_FILES)


def leave_tuning(reports: Path, params: Params, data_sha256: str, trials: int = 12) -> None:
    """What ``tune`` leaves, made by the code that leaves it; one trial was pruned, and one failed."""
    random = np.random.default_rng(2)
    rows = []
    for number in range(trials):
        values = {key: params.flat()[key] for key in params.tune.searched}
        if number:
            drawn = {"optim.lr": float(10 ** random.uniform(-3, -1)), "model.dropout": float(random.uniform(0, 0.6))}
            values |= {key: value for key, value in drawn.items() if key in values}
        state = {3: "pruned", 5: "failed"}.get(number, "complete")
        rows.append(Row(number, state, 5, 3, None if state == "failed" else float(random.uniform(0.1, 0.5)), values))
    with patch("wellfit.tuning.report._draw"):  # PNGs, which the page does not show, take two seconds
        write_report(reports / "tune", rows, params, data_sha256, {0: {1: 0.2, 2: 0.3}}, higher_is_better=False)


def leave_no_tuning(reports: Path) -> None:
    """What ``tune`` leaves where it is switched off."""
    write_no_tuning(reports / "tune", reports.parent / "models")


class Page(HTMLParser):
    """The page, as what is asked of it.

    Attributes:
        elements: name and attributes of each, in their order.
        words: all text that is shown.
        headings: level and text of each.
        captions: of tables and figures.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[int, str]] = []
        self.captions: list[str] = []
        self._open: list[str] = []
        self._shown: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "not closed"
        self.words = " ".join(" ".join(self._shown).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID or self._open[-1:] == ["svg"]:
            self._open.append(tag)
        if tag[0] == "h" and tag[1:].isdigit():
            self.headings.append((int(tag[1:]), ""))
        if tag in ("caption", "figcaption"):
            self.captions.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside in ("style", "script"):
            return
        self._shown.append(data)
        if inside[:1] == "h" and inside[1:].isdigit():
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)
        if inside in ("caption", "figcaption"):
            self.captions[-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element of a name."""
        return [attributes for name, attributes in self.elements if name == tag]


def read(run: Evaluated, reports: Path) -> Page:
    """Writes the page and reads it."""
    write_page(reports / "report.html", run, read_records(reports, run.checkpoint))
    return Page((reports / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def _complete(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluated, Path]:
    folder = tmp_path_factory.mktemp("complete")
    return leave_complete(folder, folder / "reports"), folder / "reports"


def leave_complete(folder: Path, reports: Path) -> Evaluated:
    """A run of two classes, tuned, with all records."""
    run = made_up(folder)
    leave_tuning(reports, run.params, run.meta.sha256)
    leave_training(reports)
    return run


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


@pytest.fixture
def complete(_complete: tuple[Evaluated, Path], reports: Path) -> Evaluated:
    """The run of :func:`leave_complete`, with ``reports`` of its own; to make one takes a second."""
    run, left = _complete
    shutil.copytree(left, reports)
    return run
