"""The evaluate stage: scores of the test split, its files, and the run they are added to."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from sklearn import metrics as sk

from wellfit import tracking
from wellfit.data.prepare import prepare
from wellfit.data.store import load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.serving.model import CHECKPOINT_FILE, CONFIG_FILE, ENSEMBLE_FILE, training_run, write_run
from wellfit.settings.params import load_params
from wellfit.stages.baseline import baseline
from wellfit.stages.evaluate import evaluate
from wellfit.stages.train import train
from wellfit.tracking.store import open_client
from wellfit.training.checkpoint import load_checkpoint, save_checkpoint, save_checkpoints

from ..conftest import PLAIN, undrawn, working_in
from ..damage import DAMAGES, Damage, fill_with_garbage, flip_digit

FIFTHS = ("lowest", "second", "middle", "fourth", "highest")
PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
Scores = dict[str, float]
Take = Callable[[str], Scores]
SCORES = {
    "moons": [
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "weighted_f1",
        "log_loss",
        "roc_auc",
        "ece",
        "precision",
        "recall",
        "f1",
        "average_precision",
    ],
    "diabetes": ["rmse", "mae", "r2", "msle"],
}
FILES = (CHECKPOINT_FILE, ENSEMBLE_FILE, CONFIG_FILE)
pytestmark = pytest.mark.usefixtures("drawn")  # where `run` is told so
COVERAGE = ["coverage/asked", "coverage/held", "coverage/held_low", "coverage/held_high", "coverage/mean_size"]


def run(
    prepared: Path,
    data: str,
    *changes: str,
    folder: str | None = None,
    with_baselines: bool = False,
    is_drawn: bool = False,
) -> Scores:
    """Trains in the working folder on one data set where that was not done, and evaluates on it or on another."""
    settings = [f"data.name={data}", "tune.enabled=false", "train.epochs=8", "train.threads=1"]
    params = load_params(PARAMS_FILE, [*PLAIN, *settings, *changes])
    models, reports = Path("models"), Path("reports")
    with nullcontext() if is_drawn else undrawn():
        if not models.exists():
            train(params, prepared / data, reports / "tune", models, reports / "train")
        if with_baselines:
            baseline(params, prepared / data, reports / "baseline")
        evaluate(params, prepared / (folder or data), models, reports)
    return metrics_of(Path())


def metrics_of(project: Path) -> Scores:
    found: Scores = json.loads((project / "reports/evaluate/metrics.json").read_text())
    return found


def predictions(project: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((project / "reports/evaluate/predictions.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def finished() -> dict[str, Path]:
    """Data set to a project that has trained on it and was evaluated, made by the first test that takes it."""
    return {}


@pytest.fixture
def take(
    project: Path,
    prepared: Path,
    new_store: Path,
    finished: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Take:
    """Makes ``project`` a copy of a finished one, and gives its metrics."""

    def copy(data: str) -> Scores:
        if data not in finished:
            folder = tmp_path_factory.mktemp(data)
            with working_in(folder, new_store):
                run(prepared, data, is_drawn=True)
            finished[data] = folder
        shutil.copytree(finished[data], project, dirs_exist_ok=True)
        return metrics_of(project)

    return copy


@pytest.mark.parametrize("data", ["moons", "diabetes"])
def test_metrics_are_those_of_the_contract(project: Path, take: Take, data: str) -> None:
    metrics = take(data)
    expected = [name + end for name in SCORES[data] for end in ("", "_low", "_high")] + COVERAGE
    assert sorted(metrics) == sorted(expected)
    for name in SCORES[data]:
        assert metrics[f"{name}_low"] <= metrics[f"{name}_high"]
    alone = json.loads((project / "reports/evaluate/scores.json").read_text())
    assert alone == {name: metrics[name] for name in SCORES[data]}, "what `dvc metrics diff` compares"


def test_scores_agree_with_the_predictions_file(project: Path, prepared: Path, take: Take) -> None:
    metrics = take("moons")
    rows = predictions(project)
    actual, predicted = [row["actual"] for row in rows], [row["predicted"] for row in rows]
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(actual, predicted))
    assert metrics["macro_f1"] == pytest.approx(sk.f1_score(actual, predicted, average="macro"))
    names = load_meta(prepared / "moons").class_names
    auc = sk.roc_auc_score([a == names[1] for a in actual], [float(row[f"p_{names[1]}"]) for row in rows])
    assert metrics["roc_auc"] == pytest.approx(auc, abs=1e-3)  # the file holds six digits
    confusion = list(csv.DictReader((project / "reports/evaluate/confusion.csv").read_text().splitlines()))
    assert [row["actual"] for row in confusion] == actual


def test_a_network_with_a_single_logit_gives_both_probabilities(project: Path, prepared: Path) -> None:
    metrics = run(prepared, "moons", "loss.name=bce")
    rows = predictions(project)
    upper, lower = (np.array([float(row[f"p_{name}"]) for row in rows]) for name in ("upper", "lower"))
    assert upper + lower == pytest.approx(np.ones(len(rows)), abs=2e-6)
    assert [row["predicted"] for row in rows] == np.where(lower > upper, "lower", "upper").tolist()
    assert metrics["accuracy"] > 0.8


def test_regression_is_scored_in_the_targets_unit(project: Path, take: Take) -> None:
    metrics = take("diabetes")
    rows = predictions(project)
    actual, predicted = ([float(row[name]) for row in rows] for name in ("actual", "predicted"))
    assert metrics["rmse"] == pytest.approx(sk.root_mean_squared_error(actual, predicted))
    assert metrics["r2"] == pytest.approx(sk.r2_score(actual, predicted))
    assert max(actual) > 200  # disease progression runs from 25 to 346


def test_predictions_carry_the_rows_id(project: Path, prepared: Path, take: Take) -> None:
    take("moons")
    meta = load_meta(prepared / "moons")
    test = load_split(prepared / "moons", meta, "test")
    assert [int(row["id"]) for row in predictions(project)] == test.ids.tolist()
    assert [row["actual"] for row in predictions(project)] == [meta.class_names[y] for y in test.y]


def test_scores_are_added_to_the_run_that_trained(project: Path, take: Take) -> None:
    metrics = take("moons")
    client = MlflowClient(tracking.store_uri())
    run_id = json.loads((project / "models/run.json").read_text())["run_id"]
    found = client.get_run(run_id)
    assert found.data.metrics["test/accuracy"] == metrics["accuracy"]
    assert found.data.metrics["test/ece_high"] == metrics["ece_high"]
    assert found.info.status == "FINISHED"
    logged = Path(found.info.artifact_uri.removeprefix("file://")) / "evaluate"
    assert {p.name for p in (logged / "plots").iterdir()} == {
        "confusion_matrix.png",
        "roc.png",
        "precision_recall.png",
        "reliability.png",
        "coverage.png",
        "importance.png",
        "dependence.png",
        "contributions.png",
    }
    assert {"importance.csv", "contributions.csv"} <= {p.name for p in logged.iterdir()}
    assert (logged / "report.html").read_bytes() == (project / "reports/report.html").read_bytes()
    assert len(client.search_runs([found.info.experiment_id])) == 1


@pytest.mark.parametrize("how", ["was deleted", "is elsewhere"])
def test_a_run_that_is_not_in_the_store_is_replaced_by_a_new_one(
    how: str, project: Path, prepared: Path, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    take("moons")
    run_id = "0" * 32 if how == "is elsewhere" else training_run(project / "models")
    write_run(project / "models", run_id, FILES)
    if how == "was deleted":
        MlflowClient(tracking.store_uri()).delete_run(run_id)
    metrics = run(prepared, "moons")
    assert "logging to a new one" in capsys.readouterr().out
    client = MlflowClient(tracking.store_uri())
    experiment = client.get_experiment_by_name("wellfit").experiment_id
    (new,) = client.search_runs([experiment], "tags.`wellfit.stage` = 'evaluate'")
    assert new.data.metrics["test/accuracy"] == metrics["accuracy"]
    found = tracking.logged_model(run_id)
    assert found
    assert found.run_id == new.info.run_id


def test_without_mlflow_the_outputs_are_kept_and_the_scores_are_sent_later(
    project: Path, prepared: Path, take: Take, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    take("moons")
    run_id = json.loads((project / "models/run.json").read_text())["run_id"]
    open_client.cache_clear()
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        metrics = run(prepared, "moons", with_baselines=True)
    assert capsys.readouterr().err.count("warning: MLflow") == 1
    assert (project / "reports/report.html").is_file()
    open_client.cache_clear()
    evaluated = tracking.reopen_run(run_id)
    assert evaluated
    assert open_client().get_run(run_id).data.metrics["test/accuracy"] == metrics["accuracy"]
    assert tracking.logged_model(run_id)
    names = {json.loads(key)[0] for key in tracking.children_by_tag(evaluated, "wellfit.baseline")}
    assert len(names) > 1


def test_a_damaged_store_is_warned_of_once(
    project: Path, prepared: Path, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    take("moons")
    fill_with_garbage(project / "mlflow.db")
    open_client.cache_clear()
    run(prepared, "moons")
    assert capsys.readouterr().err.count("MLflow's store, is damaged") == 1
    open_client.cache_clear()


def test_a_checkpoint_of_other_data_is_refused(project: Path, prepared: Path, take: Take) -> None:
    take("moons")
    shutil.rmtree(project / "reports/evaluate")
    with pytest.raises(
        WellfitError, match=r"was trained on other data \(moons\) than .*diabetes: run `dvc repro train`"
    ):
        run(prepared, "moons", folder="diabetes")
    assert not (project / "reports/evaluate").exists()


def test_a_damaged_checkpoint_is_refused(project: Path, prepared: Path, take: Take) -> None:
    take("moons")
    shutil.rmtree(project / "reports/evaluate")
    checkpoint = project / "models/best.safetensors"
    data = bytearray(checkpoint.read_bytes())
    data[-1] ^= 1
    checkpoint.write_bytes(data)
    with pytest.raises(WellfitError, match=r"best\.safetensors is damaged"):
        run(prepared, "moons")
    assert not (project / "reports/evaluate").exists()


def test_weights_of_another_run_are_refused(project: Path, prepared: Path, take: Take) -> None:
    """A training that was killed while it wrote, or a file put there by hand: its scores would go to the wrong run."""
    take("moons")
    shutil.rmtree(project / "reports/evaluate")
    trained_by = training_run(project / "models")
    whole = {name: (project / "models" / name).read_bytes() for name in (*FILES, "run.json")}
    weights = load_checkpoint(project / "models/best.safetensors")
    save_checkpoint(project / "other", weights.weights, weights.info | {"epoch": 1})
    save_checkpoints(project / "others", [weights._replace(info=weights.info | {"share": 1.0, "source": "other"})])
    wrote = "models/{} is not what the run of models/run.json wrote (its sha256 differs): run `dvc repro train`"
    of_run, gone = "models/run.json is not what train wrote (its sha256 differs): run `dvc repro train`", "not found"
    old = json.dumps({"run_id": trained_by}).encode()  # of before it had any sha256
    cases: list[tuple[str, Damage, str]] = [
        ("best.safetensors", lambda path: path.write_bytes((project / "other").read_bytes()), wrote),
        ("ensemble.safetensors", lambda path: path.write_bytes((project / "others").read_bytes()), wrote),
        ("config.yaml", flip_digit, wrote),
        ("config.yaml", Path.unlink, wrote),
        ("run.json", lambda path: path.write_bytes(old), of_run),
        *(("run.json", damage, gone if name == "gone" else of_run) for name, damage in DAMAGES.items()),
    ]
    for name, damage, message in cases:
        for file, content in whole.items():
            (project / "models" / file).write_bytes(content)
        damage(project / "models" / name)
        with pytest.raises(WellfitError, match=re.escape(message.format(name))):
            run(prepared, "moons")
    assert not (project / "reports/evaluate").exists()


@pytest.mark.parametrize("data", ["moons", "diabetes"])
def test_same_checkpoint_same_bytes(project: Path, prepared: Path, take: Take, data: str) -> None:
    def written() -> list[bytes]:
        files = sorted(path for path in (project / "reports/evaluate").rglob("*") if path.is_file())
        return [path.read_bytes() for path in [*files, project / "reports/report.html"]]

    take(data)
    before = written()
    shutil.rmtree(project / "reports/evaluate")
    run(prepared, data, is_drawn=True)
    assert written() == before


def test_an_own_table_from_the_file_to_the_scores(project: Path) -> None:
    """Categories, gaps, weights and ids all the way through."""
    random = np.random.default_rng(0)
    size, colour = random.normal(50, 9, 300), np.array(["red", "green", "blue"])[random.integers(0, 3, 300)]
    price = size + 30 * (colour == "red") + random.normal(size=300)
    rows = [
        f"h{i},{'' if i % 9 == 0 else s},{'' if i % 8 == 0 else c},{p},{i % 3}"
        for i, (s, c, p) in enumerate(zip(size, colour, price, strict=True))
    ]
    (project / "houses.csv").write_text("\n".join(["house,size,colour,price,weight", *rows]))
    own = ["data.path=houses.csv", "data.target=price", "data.id=house", "data.weight=weight"]
    params = load_params(PARAMS_FILE, ["data.name=csv", *own])
    meta = prepare(params.data, project / "raw", project / "processed")
    metrics = run(project / "processed", "csv", *own, "optim.lr=0.01", "train.epochs=30")
    assert metrics["r2"] > 0.6
    written = predictions(project)
    ids = [row["id"] for row in written]
    assert len(set(ids)) == meta.split_sizes["test"]
    index = [int(name[1:]) for name in ids]
    actual, predicted = ([float(row[key]) for row in written] for key in ("actual", "predicted"))
    np.testing.assert_allclose(actual, price[index], rtol=1e-6)
    weights = np.array(index) % 3
    assert metrics["rmse"] == pytest.approx(
        sk.root_mean_squared_error(actual, predicted, sample_weight=weights), rel=1e-5
    )
    assert metrics["mae"] == pytest.approx(sk.mean_absolute_error(actual, predicted, sample_weight=weights), rel=1e-5)
    with pytest.raises(WellfitError, match=r"csv was prepared with data\.target price, which is size now"):
        evaluate(
            load_params(PARAMS_FILE, ["data.name=csv", *own, "data.target=size"]),
            project / "processed/csv",
            project / "models",
            project / "reports",
        )


def test_images_without_a_class_are_predicted_and_not_scored(project: Path) -> None:
    random = np.random.default_rng(0)
    files = [f"train/{name}/{i}.png" for name in ("dark", "light") for i in range(20)] + ["test/a.png", "test/b.png"]
    for file in files:
        path = project / "own" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        low = 0 if "dark" in file or file.endswith("a.png") else 150
        Image.fromarray(random.integers(low, low + 100, (4, 4), np.uint8)).save(path)
    own = [f"data.path={project / 'own'}", "data.image_size=4"]
    meta = prepare(load_params(PARAMS_FILE, ["data.name=images", *own]).data, project / "raw", project / "processed")
    run(project / "processed", "images", *own, "optim.lr=0.03")
    assert len(predictions(project)) == meta.split_sizes["test"] == 8
    with (project / "reports/evaluate/unlabelled.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [(row["id"], row["predicted"]) for row in found] == [("test/a.png", "dark"), ("test/b.png", "light")]
    assert all(float(row["p_dark"]) + float(row["p_light"]) == pytest.approx(1, abs=1e-5) for row in found)


def test_pictures_of_another_task_go(project: Path, prepared: Path, take: Take) -> None:
    old = project / "reports/evaluate/plots/residuals.png"
    take("moons")
    old.touch()
    run(prepared, "moons")
    assert not old.exists()


def test_a_threshold_decides_what_is_predicted(project: Path, prepared: Path, take: Take) -> None:
    at_half = take("moons")
    metrics = run(prepared, "moons", "evaluate.threshold={false_positive: 1, false_negative: 20}")
    threshold = metrics["threshold/chosen"]
    assert threshold < 0.4
    rows = predictions(project)
    first, second = load_meta(prepared / "moons").class_names
    expected = [second if float(row[f"p_{second}"]) > threshold else first for row in rows]
    assert [row["predicted"] for row in rows] == expected
    actual = [row["actual"] for row in rows]
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(actual, expected))
    assert metrics["recall"] == pytest.approx(sk.recall_score(actual, expected, pos_label=second))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "precision", "recall", "f1"):
        assert metrics[f"threshold/at_half/{name}"] == at_half[name]
    for name in ("log_loss", "roc_auc", "ece", "average_precision"):
        assert metrics[name] == at_half[name]
    per_class = list(csv.DictReader((project / "reports/evaluate/per_class.csv").read_text().splitlines()))
    assert float(per_class[1]["recall"]) == pytest.approx(metrics["recall"])
    plots = {path.name for path in (project / "reports/evaluate/plots").iterdir()}
    assert {"threshold.png", "confusion_matrix_at_half.png"} <= plots
    assert json.loads((project / "reports/evaluate/decision.json").read_text())["threshold"] == threshold


def test_a_threshold_of_ten_classes_is_refused(project: Path, prepared: Path, take: Take) -> None:
    take("moons")
    shutil.rmtree(project / "models")
    with pytest.raises(
        WellfitError,
        match=r"^evaluate\.threshold must be 0\.5 for more than two classes \(data\.name digits has 10\), got f1",
    ):
        run(prepared, "digits", "evaluate.threshold=f1", "train.epochs=1", "schedule.warmup_epochs=0")


def test_a_temperature_changes_probabilities_and_no_class(project: Path, prepared: Path, take: Take) -> None:
    before = take("moons")
    rows = predictions(project)
    metrics = run(prepared, "moons", "evaluate.calibration=temperature")
    assert metrics["calibration/temperature"] != 1.0
    assert metrics["calibration/none/log_loss"] == before["log_loss"] != metrics["log_loss"]
    assert metrics["accuracy"] == before["accuracy"]
    changed = predictions(project)
    assert [row["predicted"] for row in changed] == [row["predicted"] for row in rows]
    assert [row["p_upper"] for row in changed] != [row["p_upper"] for row in rows]
    assert (project / "reports/evaluate/plots/reliability_without_temperature.png").exists()


def test_sets_of_classes_hold_the_truth_as_often_as_it_is_said(project: Path, take: Take) -> None:
    metrics = take("moons")
    rows = predictions(project)
    sets = [json.loads(row["set"]) for row in rows]
    held = [row["actual"] in each for row, each in zip(rows, sets, strict=True)]
    assert metrics["coverage/held"] == pytest.approx(np.mean(held))
    assert metrics["coverage/mean_size"] == pytest.approx(np.mean([len(each) for each in sets]))
    assert all(row["predicted"] in each for row, each in zip(rows, sets, strict=True))
    coverage = list(csv.DictReader((project / "reports/evaluate/coverage.csv").read_text().splitlines()))
    assert [row["group"] for row in coverage] == ["all rows", "upper", "lower"]


def test_intervals_hold_the_truth_as_often_as_it_is_said(project: Path, take: Take) -> None:
    metrics = take("diabetes")
    rows = predictions(project)
    low, high, actual = (np.array([float(row[name]) for row in rows]) for name in ("low", "high", "actual"))
    assert metrics["coverage/held"] == pytest.approx(((low <= actual) & (actual <= high)).mean())
    assert metrics["coverage/mean_size"] == pytest.approx((high - low).mean())
    assert 0.75 < metrics["coverage/held"] < 1
    coverage = list(csv.DictReader((project / "reports/evaluate/coverage.csv").read_text().splitlines()))
    assert [row["group"] for row in coverage][1:] == [f"{which} fifth" for which in FIFTHS]


def test_without_coverage_there_are_no_sets(project: Path, prepared: Path, take: Take) -> None:
    take("moons")
    assert not set(run(prepared, "moons", "evaluate.coverage=null")) & set(COVERAGE)
    assert list(predictions(project)[0]) == ["id", "actual", "predicted", "p_upper", "p_lower"]
    assert (project / "reports/evaluate/coverage.csv").read_text() == "group,rows,coverage,low,high,size\n"


def test_too_few_validation_rows_give_intervals_without_ends(
    project: Path, prepared: Path, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    take("diabetes")
    metrics = run(prepared, "diabetes", "evaluate.coverage=0.999")
    assert metrics["coverage/held"] == 1.0
    assert metrics["coverage/mean_size"] is None
    assert {(row["low"], row["high"]) for row in predictions(project)} == {("", "")}
    assert "validation rows are too few for evaluate.coverage 0.999: intervals are infinite" in capsys.readouterr().out


def test_leakage_is_said_beside_the_score(
    prepared: Path, take: Take, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = take("moons")
    monkeypatch.setattr(
        "wellfit.stages.evaluate.leakage", lambda meta, metrics: [f"{meta.name} {metrics['balanced_accuracy']}"]
    )
    run(prepared, "moons")
    assert f"\nwarning: moons {scores['balanced_accuracy']}\n" in capsys.readouterr().out


def test_a_transformed_target_is_scored_in_its_own_unit(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    size = random.normal(size=400)
    price = np.exp(6 + size + 0.4 * random.normal(size=400))
    (project / "t.csv").write_text("\n".join(["size,price", *(f"{s},{p}" for s, p in zip(size, price, strict=True))]))
    own = ["data.path=t.csv", "data.target=price", "data.target_transform=auto", "optim.lr=0.01", "train.epochs=30"]
    params = load_params(PARAMS_FILE, ["data.name=csv", *own])
    meta = prepare(params.data, project / "raw", project / "processed")
    assert meta.target_transform is not None
    assert meta.target_transform.name == "log"
    metrics = run(project / "processed", "csv", *own)
    rows = predictions(project)
    actual, predicted = (np.array([float(row[name]) for row in rows]) for name in ("actual", "predicted"))
    assert metrics["rmse"] == pytest.approx(sk.root_mean_squared_error(actual, predicted))
    assert np.abs(np.log(predicted / actual)).mean() < 0.5
    trained = json.loads((project / "reports/train/metrics.json").read_text())
    assert 50 < trained["val/rmse"] < price.std()
    assert "smeared" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["train/history.csv", "train/manifest.json"])
def test_a_record_that_was_changed_is_told_before_anything_is_written(
    project: Path, prepared: Path, take: Take, name: str
) -> None:
    take("moons")
    flip_digit(project / "reports" / name)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with pytest.raises(WellfitError, match=rf"{name} is not what train wrote .*`dvc repro train`"):
        run(prepared, "moons")
    assert {path: path.read_bytes() for path in before if path.is_file()} == before


def test_contributions_add_up_to_what_the_predictions_file_says(project: Path, take: Take) -> None:
    take("diabetes")
    lines = list(csv.DictReader((project / "reports/evaluate/contributions.csv").read_text().splitlines()))
    predicted = {row["id"]: float(row["predicted"]) for row in predictions(project)}
    for row in {line["id"] for line in lines}:
        of_row = [line for line in lines if line["id"] == row]
        assert len(of_row) == 10
        total = float(of_row[0]["mean_prediction"]) + sum(float(line["contribution"]) for line in of_row)
        assert total == pytest.approx(predicted[row], rel=1e-5)
    importance = list(csv.DictReader((project / "reports/evaluate/importance.csv").read_text().splitlines()))
    rises = [float(line["rmse"]) for line in importance]
    assert rises == sorted(rises, reverse=True)
    assert importance[0]["column"] in ("bmi", "s5")
    assert all(float(line["rmse_low"]) <= float(line["rmse"]) <= float(line["rmse_high"]) for line in importance)


def test_without_explanations_there_are_empty_tables(
    project: Path, prepared: Path, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    before = take("moons")
    assert run(prepared, "moons", "explain.enabled=false") == before
    assert "shuffle" not in capsys.readouterr().out
    for name in ("importance", "contributions"):
        assert len((project / f"reports/evaluate/{name}.csv").read_text().splitlines()) == 1
    assert not (project / "reports/evaluate/plots/importance.png").exists()
    assert "explain.enabled is false" in (project / "reports/report.html").read_text()


def test_baselines_stand_beside_the_network(
    project: Path, prepared: Path, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = take("moons")
    metrics = run(prepared, "moons", with_baselines=True)
    assert {name: metrics[name] for name in alone} == alone
    out = capsys.readouterr().out
    y = load_split(prepared / "moons", load_meta(prepared / "moons"), "test").y
    base_rate = np.mean(y == 1) if metrics["baseline/constant/recall"] else np.mean(y == 0)
    assert metrics["baseline/constant/accuracy"] == pytest.approx(base_rate)
    assert f", of a constant {base_rate:.4g}" in out
    gain = metrics["accuracy"] - metrics["baseline/gradient_boosting/accuracy"]
    assert metrics["baseline/gradient_boosting/accuracy_gain"] == pytest.approx(gain)
    assert "gradient boosting" in out

    client = MlflowClient(tracking.store_uri())
    run_id = json.loads((project / "models/run.json").read_text())["run_id"]
    found = client.get_run(run_id)
    logged = found.data.metrics["test/baseline/linear/log_loss_gain_high"]
    assert logged == metrics["baseline/linear/log_loss_gain_high"]
    assert found.data.tags["wellfit.baselines"] in out
    assert found.data.tags["wellfit.baselines"][1:] in (project / "reports/report.html").read_text().replace("−", "-")

    for turn in range(2):  # a second evaluation uses the runs of the first
        if turn:
            run(prepared, "moons")
        runs = client.search_runs([found.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
        assert sorted(one.data.params["model.name"] for one in runs) == ["constant", "gradient_boosting", "linear"]
        assert {one.info.status for one in runs} == {"FINISHED"}
        by_name = {one.data.params["model.name"]: one for one in runs}
        boosting = by_name["gradient_boosting"]
        assert boosting.data.metrics["test/roc_auc"] == metrics["baseline/gradient_boosting/roc_auc"]
        assert boosting.data.metrics["val/log_loss"] > 0
        assert float(boosting.data.params["baseline.learning_rate"]) > 0
        assert boosting.data.tags["wellfit.stage"] == "baseline"


def test_baselines_of_other_data_are_left_out(prepared: Path, take: Take, capsys: pytest.CaptureFixture[str]) -> None:
    take("moons")
    params = load_params(PARAMS_FILE, ["data.name=diabetes"])
    baseline(params, prepared / "diabetes", Path("reports/baseline"))
    metrics = run(prepared, "moons")
    assert not [name for name in metrics if name.startswith("baseline/")]
    assert "reports/baseline has no baselines of these data to compare with" in capsys.readouterr().out
