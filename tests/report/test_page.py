"""The page as HTML: what stands on it, for whom, and what cannot get into it."""

import base64
import hashlib
import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from wellfit.charts.style import svg
from wellfit.manifest import write_manifest
from wellfit.metrics.predictions import per_class_report
from wellfit.report.charts import of_classes
from wellfit.report.content import Chart
from wellfit.report.page import slug
from wellfit.report.records import Evaluated
from wellfit.report.sections import MOST_TRIALS, _no_warning
from wellfit.training.record import REPORT_FILES
from wellfit.tuning.report import Row, write_report

from .conftest import Page, leave_complete, leave_no_tuning, leave_training, leave_tuning, made_up, read, with_baselines

SECTIONS = [
    "Results on the test split",
    "Beside baselines",
    "Decisions from validation rows",
    "Ensemble",
    "What the predictions depend on",
    "Training",
    "Tuning",
    "Data",
    "Configuration",
    "How to reproduce it",
]
SOMETIMES = SECTIONS[1:4]
ATTACK = "<script>alert(1)</script>"
HUNDRED = tuple(f"class {i}" for i in range(100))


def check_structure(page: Page) -> None:
    """What holds of every page, whatever the run."""
    assert page.text.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert [len(page.all(tag)) for tag in ("header", "main", "nav", "footer", "h1")] == [1] * 5
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    sections = [text for level, text in page.headings if level == 2]
    assert sections == [name for name in SECTIONS if name in sections or name not in SOMETIMES]
    assert all(text.strip() for _, text in page.headings)
    assert all(image["alt"] for image in page.all("img"))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(text.strip() for text in page.captions)
    assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [ref for _, a in page.elements for ref in a.get("aria-labelledby", "").split()]
    assert set(named) <= set(ids)
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    pictures = [attributes for tag, attributes in page.elements if attributes.get("class") == "picture"]
    assert pictures
    assert all(picture["role"] == "img" and picture["aria-labelledby"] for picture in pictures)
    # Styles of single elements and handlers would be refused by the page's own policy.
    assert not [name for _, a in page.elements for name in a if name == "style" or name.startswith("on")]
    words = page.words.replace("NA, N/A, NaN, nan", "")  # data.missing
    assert not re.search(r"\bnan\b|\binf\b|None|Undefined", words)


def check_it_loads_nothing(page: Page) -> None:
    """No address that a browser would ask for stands anywhere."""
    addresses = [a[name] for _, a in page.elements for name in ("src", "href", "action", "data") if name in a]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"url\(|@import|https?://", "".join(page.text.split("<style>")[1].split("</style>")[0]))
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        inside = page.text.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("images", [False, True], ids=["table", "images"])
@pytest.mark.parametrize("classes", [(), ("no", "yes"), tuple("0123456789"), HUNDRED], ids=len)
def test_every_kind_of_run_makes_a_sound_page(
    classes: tuple[str, ...], images: bool, tmp_path: Path, reports: Path
) -> None:
    if images and not classes:
        pytest.skip("images have classes")
    made = made_up(tmp_path, classes=classes, images=images, rows=240, explains=len(classes) == 2)
    run = with_baselines(made)
    leave_tuning(reports, run.params, run.meta.sha256)
    leave_training(reports, score="accuracy" if classes else "rmse")
    page = read(run, reports)
    check_structure(page)
    check_it_loads_nothing(page)
    assert bool(page.all("img")) == images
    assert (2, "Beside baselines") in page.headings
    titles = [text for level, text in page.headings if level == 3]
    expected = (
        ["Confusion matrix", "Reliability", "ROC", "Precision and recall", "Class balance"]
        if classes
        else ["Predicted against actual", "Errors", "Target"]
    )
    assert {*expected, "Loss", "Learning rate", "History", "What mattered", "Parallel coordinates"} <= set(titles)


def test_the_same_run_gives_the_same_bytes(tmp_path: Path, reports: Path) -> None:
    run = leave_complete(tmp_path, reports)  # whose charts nobody has laid out
    assert read(run, reports).text == read(run, reports).text


def test_what_comes_from_the_data_is_text(tmp_path: Path, reports: Path) -> None:
    run = made_up(tmp_path, classes=(ATTACK, '" onload="x', "'&amp;"), columns=(ATTACK, "b"), warnings=[ATTACK])
    leave_training(reports, warnings=[("over-fitting", ATTACK)])
    page = read(run, reports)
    check_structure(page)
    assert len(page.all("script")) == 1
    assert ATTACK not in page.text
    assert page.words.count(ATTACK) > 5
    assert "'&amp;" in page.words


@pytest.mark.usefixtures("undrawn")
def test_without_the_other_stages_the_page_says_so(tmp_path: Path, reports: Path) -> None:
    page = read(made_up(tmp_path), reports)
    check_structure(page)
    assert "reports/train has no records of the training of this checkpoint" in page.words
    assert "reports/tune has no record of a study" in page.words
    assert "Confusion matrix" in page.words


@pytest.mark.usefixtures("undrawn")
def test_with_tuning_off_the_page_says_so(tmp_path: Path, reports: Path) -> None:
    run = made_up(tmp_path, settings=["tune.enabled=false"])
    leave_no_tuning(reports)
    page = read(run, reports)
    check_structure(page)
    assert "the values of params.yaml were used" in page.words
    assert "All settings are as in params.yaml." in page.words


@pytest.mark.usefixtures("undrawn")
def test_records_of_another_run_are_not_shown(tmp_path: Path, reports: Path) -> None:
    run = made_up(tmp_path)
    leave_tuning(reports, run.params, "other data")
    leave_training(reports)
    history = reports / "train" / "history.csv"
    history.write_text(history.read_text().replace("0.25", "0.26"))
    write_manifest(reports / "train", REPORT_FILES)
    page = read(run, reports)
    assert "reports/tune is of other data" in page.words
    assert "has no records of the training of this checkpoint" in page.words
    assert "Learning rate" not in page.words


@pytest.mark.parametrize(
    ("best_epoch", "losses", "says"),
    [
        (6, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], "No warning: the curves show"),  # the last one: there is nothing after it
        (2, [0.9, 0.4, 0.5, 0.6], "No warning: up to epoch 2, whose weights are kept, the curves show"),
        (4, [0.5, 0.5, 0.4, 0.41, 0.41], "No warning: the curves show"),  # kept by another score
    ],
)
def test_a_loss_rose_where_it_rose_after_the_kept_epoch(best_epoch: int, losses: list[float], says: str) -> None:
    found = _no_warning(SimpleNamespace(best_epoch=best_epoch, history={"val/loss": losses}))
    assert found.startswith(says)
    assert ("After it the validation loss rose, from" in found) == ("up to" in says)


@pytest.mark.usefixtures("undrawn")
def test_the_verdict_is_told(complete: Evaluated, reports: Path) -> None:
    words = read(complete, reports).words
    assert "No warning: up to epoch" in words
    assert "After it the validation loss rose, from" in words
    leave_training(reports, warnings=[("over-fitting", "raise model.dropout")])
    page = read(complete, reports)
    assert "Over-fitting : raise model.dropout" in page.words
    assert "1 warning" in page.words


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("repeats", "words"),
    [
        ({1: 0.2, 2: 0.3}, "with 2 other seeds, it has val/loss 0.25 on average, 95 % interval"),
        ({1: 0.2, 2: 0.3}, "; this is worse than the 0.1 that it had in the study."),
        ({1: 0.08}, "with 1 other seed, it has val/loss 0.08 on average; this is better than the"),
        ({1: 0.1}, "on average; this is the same as the 0.1 that it had in the study."),
        ({}, "Trial 0 was the best"),
    ],
)
def test_the_best_trial_is_set_against_its_repeats(
    complete: Evaluated, reports: Path, repeats: dict[int, float], words: str
) -> None:
    row = Row(0, "complete", 5, 3, 0.1, {key: complete.params.flat()[key] for key in complete.params.tune.searched})
    with patch("wellfit.tuning.report._draw"):
        write_report(
            reports / "tune", [row], complete.params, complete.meta.sha256, {0: repeats}, higher_is_better=False
        )
    assert words in read(complete, reports).words


@pytest.mark.usefixtures("undrawn")
def test_a_score_that_is_not_defined_has_no_row(complete: Evaluated, reports: Path) -> None:
    scores = read(complete._replace(metrics=complete.metrics | {"ece": None}), reports).text
    assert "expected calibration error" not in scores
    assert "expected calibration error" in read(complete, reports).text


@pytest.mark.usefixtures("undrawn")
def test_scores_have_their_names(complete: Evaluated, reports: Path) -> None:
    words = read(complete, reports).words
    assert "test ROC AUC" in words
    assert "balanced accuracy" in words
    assert not re.search(r"balanced_accuracy|roc_auc|log_loss", words.split("Configuration")[1].split("Training")[0])


@pytest.mark.parametrize(
    ("widths", "alone"),
    [
        ((5,), [True]),
        ((5, 5), [False, False]),
        ((5, 5, 5), [False, False, True]),
        ((5, 12, 5, 5), [True, False, False, False]),
    ],
)
def test_a_chart_without_a_neighbour_is_set_across(widths: tuple[int, ...], alone: list[bool]) -> None:
    environment = Environment(loader=PackageLoader("wellfit.report"), trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"slug": slug, "svg": svg}
    macro = environment.get_template("macros.html.j2").module.charts  # type: ignore[attr-defined]
    text = macro([Chart(f"chart {i}", "", Figure(figsize=(width, 1))) for i, width in enumerate(widths)], "section")
    assert ["alone" in classes for classes in re.findall('figure class="([^"]*)"', text)] == alone


@pytest.mark.usefixtures("undrawn")
def test_of_many_trials_the_first_are_listed(complete: Evaluated, reports: Path) -> None:
    leave_tuning(reports, complete.params, complete.meta.sha256, trials=MOST_TRIALS + 5)
    page = read(complete, reports)
    assert f"The first {MOST_TRIALS} of {MOST_TRIALS + 5} trials; reports/tune/trials.csv has all" in page.captions


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("epochs", "words"), [(5, "Stopped early, after 5 of at most 40"), (40, "All 40 epochs ran")])
def test_an_early_end_is_told(complete: Evaluated, reports: Path, epochs: int, words: str) -> None:
    leave_training(reports, epochs=epochs)
    assert (
        f"{words} epochs; the weights of epoch 3 were kept".replace("epochs ran epochs", "epochs ran")
        in read(complete, reports).words
    )


@pytest.mark.usefixtures("undrawn")
def test_a_class_that_never_occurs_breaks_nothing(tmp_path: Path, reports: Path) -> None:
    run = made_up(tmp_path, classes=tuple("abc"))
    meta = run.meta.model_copy(update={"class_names": (*"abcd",), "class_counts": (*run.meta.class_counts, 0)})
    y, predictions = np.asarray(run.test.y), np.pad(run.predictions, ((0, 0), (0, 1)))
    charts = list(of_classes(y, predictions, meta.class_names, 15, run.metrics["ece"]).values())
    per_class = per_class_report(y, predictions, meta.class_names)
    run = run._replace(meta=meta, predictions=predictions, charts=charts, per_class=per_class)
    check_structure(read(run, reports))


@pytest.mark.parametrize(("text", "id"), [("optim.lr", "optim-lr"), ("R² & co", "r-co"), ("猫", "it")])
def test_a_slug_is_an_id(text: str, id: str) -> None:
    assert slug(text) == id
