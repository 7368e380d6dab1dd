import csv
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wellfit.charts import comparison_curves, comparison_plots
from wellfit.charts.comparison_plots import Boundaries
from wellfit.compare.comparison import Comparison, NamedComparison
from wellfit.compare.outcome import Outcome
from wellfit.compare.report import Report, write_report
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params

from .conftest import REGRESSION, compare, describe, train

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
PLAIN = load_params(PARAMS_FILE, ["data.name=moons"])
VARIANTS = {"none": {"model.dropout": 0.0}, "dropout 0.4": {"model.dropout": 0.4}}


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def moons(variants: Sequence[str]) -> Boundaries:
    random = np.random.default_rng(0)
    x, y = np.linspace(-2, 3, 30), np.linspace(-1.5, 2, 20)
    probabilities = {name: 1 / (1 + np.exp(-(i + 1) * (x[None] * y[:, None] - 0.3))) for i, name in enumerate(variants)}
    points = np.column_stack([random.uniform(-2, 3, 60), random.uniform(-1.5, 2, 60)])
    return Boundaries(x, y, probabilities, points, (points.prod(axis=1) > 0.3).astype(np.int64))


def write(
    folder: Path,
    outcomes: Sequence[Outcome],
    comparison: Comparison | None = None,
    *,
    meta: Meta | None = None,
    params: Mapping[str, Params] | None = None,
    boundaries: Boundaries | None = None,
) -> Report:
    comparison = comparison or compare(VARIANTS)
    params = params or dict.fromkeys(comparison.variants, PLAIN)
    named = NamedComparison("moons-dropout", comparison, PLAIN, params, {})
    return write_report(folder, named, meta or describe(), outcomes, boundaries)


def test_the_folder_of_two_variants(tmp_path: Path, two_variants: list[Outcome]) -> None:
    folder = tmp_path / "moons-dropout"
    report = write(folder, two_variants, boundaries=moons(list(VARIANTS)))
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "finding.txt", "table.csv", "runs.csv", "history.csv", "plots",
    }  # fmt: skip
    assert {path.name for path in (folder / "plots").iterdir()} == {
        "curves.png", "traces.png", "table.png", "boundaries.png",
    }  # fmt: skip
    assert (folder / "finding.txt").read_text() == report.finding + "\n"
    assert report.finding.startswith("Compared with none, dropout 0.4 narrows the accuracy gap by ")

    table = rows(folder / "table.csv")
    assert [(row["variant"], row["measure"]) for row in table] == [
        (variant, measure) for variant in VARIANTS for measure in ("test/accuracy", "gap/accuracy")
    ]
    scores = {v: [o.scores["gap/accuracy"] for o in two_variants if o.variant == v] for v in VARIANTS}
    differences = np.subtract(scores["dropout 0.4"], scores["none"])
    assert float(table[3]["mean"]) == pytest.approx(np.mean(scores["dropout 0.4"]))
    assert float(table[3]["difference"]) == pytest.approx(differences.mean())
    assert float(table[3]["difference_low"]) < differences.mean() < float(table[3]["difference_high"])
    assert [row["difference"] for row in table[:2]] == ["", ""]
    assert float(table[0]["best_epoch"]) == 50
    assert report.metrics["difference/dropout 0.4/gap/accuracy"] == float(table[3]["difference"])
    assert report.metrics["mean/none/test/accuracy"] == float(table[0]["mean"])
    assert "difference/none/test/accuracy" not in report.metrics

    runs = rows(folder / "runs.csv")
    assert [(row["variant"], row["seed"]) for row in runs] == [(v, str(s)) for v in VARIANTS for s in range(5)]
    assert float(runs[7]["test/accuracy"]) == two_variants[7].scores["test/accuracy"]
    history = rows(folder / "history.csv")
    assert [(row["variant"], int(row["epoch"])) for row in history] == [(v, e) for v in VARIANTS for e in range(1, 61)]
    expected = np.mean([outcome.history[9]["val/loss"] for outcome in two_variants[5:]])
    assert float(history[69]["val/loss"]) == pytest.approx(expected)


def test_the_page(tmp_path: Path, two_variants: list[Outcome]) -> None:
    report = write(tmp_path / "c", two_variants)
    page = (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
    comparison = compare(VARIANTS)
    for text in (
        f"# {comparison.title}\n\n{comparison.question}\n\n**Finding.** {report.finding}\n",
        comparison.expectation,
        "| `model.hidden` | `[128, 128]` |",
        "| dropout 0.4 | `model.dropout` = `0.4` |",
        "dvc repro comparisons/dvc.yaml:moons-dropout\n",
        "1,200 train, 400 val, 400 test rows",
        "Seeds 0 to 4",
        "those of the last epoch",
    ):
        assert text in page
    assert report.summary == page.split("\n\n## Curves")[0]
    pictures = re.findall(r"^!\[(.+)\]\((.+)\)$", page, re.MULTILINE)
    assert [path for _, path in pictures] == ["plots/curves.png", "plots/traces.png", "plots/table.png"]
    for alt, path in pictures:
        assert len(alt) > 20
        with Image.open(tmp_path / "c" / path) as image:
            assert image.width > 500
    (gap,) = re.findall(r"^\| dropout 0.4 \| [^|]+ \| \*\*(-\d.*)\*\* \|$", page, re.MULTILINE)
    assert gap.endswith("]")


def test_the_page_tells_how_it_was_made(tmp_path: Path, two_variants: list[Outcome]) -> None:
    def command(name: str, given: Mapping[str, Any]) -> str:
        named = NamedComparison(name, compare(VARIANTS), PLAIN, dict.fromkeys(VARIANTS, PLAIN), given)
        write_report(tmp_path / "c", named, describe(), two_variants, None)
        (found,) = re.findall(r"```sh\n(.*)\n```", (tmp_path / "c" / "README.md").read_text(encoding="utf-8"))
        return str(found)

    assert command("moons-dropout", {}) == "dvc repro comparisons/dvc.yaml:moons-dropout"
    assert command("mine", {}) == "python pipelines/compare.py --name mine", "DVC knows nothing of it"
    given = {"data.name": "wine", "model.hidden": [8, 8]}
    said = "python pipelines/compare.py --name moons-dropout --set 'data.name=\"wine\"' --set 'model.hidden=[8, 8]'"
    assert command("moons-dropout", given) == said


def test_the_same_outcomes_give_the_same_bytes_in_any_order(tmp_path: Path, two_variants: list[Outcome]) -> None:
    for folder, outcomes in ((tmp_path / "a", two_variants), (tmp_path / "b", two_variants[::-1])):
        write(folder, outcomes, boundaries=moons(list(VARIANTS)))
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) == 9
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_odd_names_break_neither_page_nor_pictures_nor_metrics(tmp_path: Path) -> None:
    odd = {"a | b": {}, "$x_1$/[y](z)": {}, "..": {}, "long " * 10 + "`<b>*": {}}
    outcomes = [train(name, seed, epochs=4, level=0.8 + i / 20) for i, name in enumerate(odd) for seed in range(5)]
    report = write(tmp_path / "odd", outcomes, compare(odd), boundaries=moons(list(odd)))
    page = (tmp_path / "odd" / "README.md").read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        lines = table.splitlines()
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(cells) == 1, lines
    assert "<b>" not in page
    assert not re.search(r"(?<!<span>)\$", page)
    assert [row["variant"] for row in rows(tmp_path / "odd" / "table.csv")[::2]] == list(odd)
    assert all(re.fullmatch(r"[\w \-./]+", name) and "/../" not in name for name in report.metrics)
    assert max(map(len, report.metrics)) < 250


def test_the_curves_and_boundaries_show_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Any] = {}
    curves, boundaries = comparison_curves.curves, comparison_plots.boundaries

    def draw_curves(results: Any, measures: Any, target: str, *, weights: Any) -> Any:
        drawn["measures"], drawn["weights"] = [measure.key for measure in measures], weights
        return curves(results, measures, target, weights=weights)

    def draw_boundaries(shown: Any, titles: Any, *names: Any) -> Any:
        drawn["titles"] = titles
        return boundaries(shown, titles, *names)

    monkeypatch.setattr(comparison_curves, "curves", draw_curves)
    monkeypatch.setattr(comparison_plots, "boundaries", draw_boundaries)
    outcomes = []
    for number, each in enumerate(train(name, seed, epochs=3) for name in VARIANTS for seed in range(2)):
        history = [epoch | {"train/f1": 0.5, "val/f1": 0.5} for epoch in each.history]
        scores = dict(each.scores) | {"test/f1": 0.5 + number / 100, "test/loss": 0.1}
        outcomes.append(dataclasses.replace(each, history=history, scores=scores))
    comparison = compare(VARIANTS, measure=["test/loss", "test/f1"])
    write(tmp_path / "c", outcomes, comparison, boundaries=moons(["dropout 0.4"]))
    titles = {"dropout 0.4": "dropout 0.4\ntest F1 52.0 % (seed 0)"}
    assert drawn == {"measures": ["val/loss", "val/f1"], "weights": "last", "titles": titles}
    write(tmp_path / "c", outcomes, compare(VARIANTS, measure=["test/loss"]))
    assert (drawn["measures"], drawn["weights"]) == (["val/loss", "val/accuracy"], "last")


def test_schedules_are_drawn_where_they_differ(tmp_path: Path) -> None:
    names = ("constant", "step", "cosine")
    outcomes = [train(name, seed, epochs=5) for name in names for seed in range(2)]
    params = {name: PLAIN.replace({"schedule.name": name}) for name in names}
    write(tmp_path / "c", outcomes, compare({name: {} for name in names}), params=params)
    assert (tmp_path / "c" / "plots" / "schedules.png").is_file()
    assert "](plots/schedules.png)" in (tmp_path / "c" / "README.md").read_text()


def test_a_regression_with_failures(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"regression": True, "epochs": 20}
    outcomes = [train("mse", seed, **fields) for seed in range(5)]
    outcomes += [train("mae", seed, level=0.95, blows_up=5 if seed == 3 else 0, **fields) for seed in range(5)]
    outcomes += [train("lr 10", seed, blows_up=2, **fields) for seed in range(5)]
    comparison = compare({"mse": {}, "mae": {}, "lr 10": {}}, measure=["test/mae", "test/loss"])
    report = write(tmp_path / "c", outcomes, comparison, meta=describe(**REGRESSION))
    assert "mae failed with 1 of 5 seeds (train/loss became NaN in epoch 20)" in report.finding
    assert "lr 10 failed with all 5 seeds" in report.finding
    page = (tmp_path / "c" / "README.md").read_text()
    assert re.search(r"^\| mae \| .* \| 4 of 5 \|$", page, re.MULTILINE)
    assert re.search(r"^\| lr 10 \| – \| – \| – \| – \| 0 of 5 \|$", page, re.MULTILINE)
    assert all(math.isfinite(value) for value in report.metrics.values())
    assert rows(tmp_path / "c" / "runs.csv")[8]["failure"] == "train/loss became NaN in epoch 20"


def test_failures_of_all_and_a_single_variant_can_be_told(tmp_path: Path) -> None:
    nothing = [Outcome(name, seed, [], {}, 0, 1.0, "out of memory") for name in VARIANTS for seed in range(5)]
    assert "none failed with all 5 seeds (out of memory)" in write(tmp_path / "a", nothing).finding
    alone = compare({"none": {}})
    write(tmp_path / "b", [train("none", seed, epochs=3) for seed in range(5)], alone)
    assert not (tmp_path / "b" / "plots" / "table.png").exists()
    assert "Differences" not in (tmp_path / "b" / "README.md").read_text()


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, two_variants: list[Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "README.md").write_text("old")
    with pytest.raises(WellfitError, match="measure test/acuracy is no score"):
        write(folder, two_variants, compare(VARIANTS, measure=["test/acuracy"]))

    def full_disk(*args: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("wellfit.compare.report.write_page", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write(folder, two_variants)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert [path.name for path in folder.iterdir()] == ["README.md"]
