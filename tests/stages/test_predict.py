"""The predict stage: files in, a file out as a whole or not at all, and what a spreadsheet would run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from wellfit.data.readers import csv_files, parquet_files
from wellfit.errors import RowsChangedError, WellfitError
from wellfit.metrics.decision import Decision
from wellfit.serving.folder import load_model_folder
from wellfit.stages import predict as stage
from wellfit.stages.predict import Options, predict

from ..serving.own import HEADER, csv_file, image_folder, leave_model, lines
from ..serving.test_predictor import NUMBERS, PICTURES
from ..serving.test_rows import frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    csv_file(root / "own.csv")
    return leave_model(root)[0]


def run(
    folder: Path,
    path: Path,
    *,
    proba: bool = False,
    interval: bool = False,
    formulas: bool = False,
    skips_bad_files: bool = False,
) -> Path:
    output = path.parent / "out" / "predictions.csv"
    predict(Options(path, output, folder, proba, interval, formulas, skips_bad_files=skips_bad_files))
    return output


def test_each_row_gets_a_line_with_its_id(folder: Path, tmp_path: Path) -> None:
    out = pd.read_csv(run(folder, csv_file(tmp_path / "new.csv"), proba=True, interval=True))
    model = load_model_folder(folder)
    assert list(out) == ["id", "predicted", "p_bad", "p_good", "set"]
    assert out["id"].tolist() == [f"r{i}" for i in range(120)]
    chances = model.predict_proba(frame())
    np.testing.assert_allclose(out[["p_bad", "p_good"]], chances, atol=5e-7)
    assert out["predicted"].tolist() == model.predict(frame()).tolist()
    assert [json.loads(text) for text in out["set"]] == [
        model.classes_[row].tolist() for row in model.predict_set(frame())
    ]


def test_numbers_have_intervals(tmp_path: Path) -> None:
    frame()[frame()["age"] != ""].to_csv(tmp_path / "own.csv", index=False)
    folder, _, _ = leave_model(tmp_path, *NUMBERS, decision=Decision(coverage=0.9, bound=2.0))
    out = pd.read_csv(run(folder, csv_file(tmp_path / "new.csv"), interval=True))
    assert list(out) == ["id", "predicted", "low", "high"]
    np.testing.assert_allclose(out["high"] - out["low"], 4)
    expected = load_model_folder(folder).predict(frame())
    np.testing.assert_allclose(out["predicted"], expected, rtol=5e-9)
    assert out["predicted"].map(lambda number: len(repr(number).replace(".", "").strip("-0"))).max() <= 9
    with pytest.raises(WellfitError, match=r"--proba is for classes, .* predicts numbers"):
        run(folder, tmp_path / "new.csv", proba=True)


def test_a_model_without_coverage_has_no_sets(tmp_path: Path) -> None:
    csv_file(tmp_path / "own.csv")
    folder, _, _ = leave_model(tmp_path, decision=Decision())
    with pytest.raises(WellfitError, match=r"--interval needs a model with intervals: set evaluate\.coverage"):
        run(folder, tmp_path / "own.csv", interval=True)


def test_parts_make_no_difference(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [line.replace("Rome", "Paris") for line in lines()]
    path = csv_file(tmp_path / "new.csv", odd)
    whole = run(folder, path, proba=True).read_text()
    said = capsys.readouterr().out
    assert "note: column 'city': 'Paris' (29 more like it) is no category of the training rows, or a rare one" in said
    monkeypatch.setattr(csv_files, "PART_BYTES", 1000)
    again = pd.read_csv(run(folder, path, proba=True))
    assert capsys.readouterr().out == said
    expected = pd.read_csv(path.parent / "out" / "predictions.csv")
    pd.testing.assert_frame_equal(again, expected)
    assert whole.splitlines()[0] == "id,predicted,p_bad,p_good"


def test_parquet_gives_what_csv_gives(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "PART_ROWS", 50)
    from_csv = pd.read_csv(run(folder, csv_file(tmp_path / "new.csv"), proba=True))
    frame().to_parquet(tmp_path / "new.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_csv(run(folder, tmp_path / "new.parquet", proba=True)), from_csv)


def test_rows_without_ids_are_counted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(csv_files, "PART_BYTES", 1000)  # over all parts
    path = tmp_path / "new.csv"
    frame().drop(columns=["id", "sold"]).to_csv(path, index=False)
    assert pd.read_csv(run(folder, path))["id"].tolist() == list(range(120))
    assert "note: column 'id' is not there: rows are counted from 0" in capsys.readouterr().out


def test_images_are_called_by_their_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stage, "IMAGES_AT_ONCE", 7)
    pictures = image_folder(tmp_path / "pictures", 30)
    images = ["data.name=images", f"data.path={pictures}", "data.target=null", "data.id=null"]
    folder, _, _ = leave_model(tmp_path, *images, *PICTURES)
    out = pd.read_csv(run(folder, pictures, proba=True))
    files = sorted(pictures.rglob("*.png"))
    assert sorted(out["id"]) == sorted(str(file.relative_to(pictures)) for file in files)
    chances = load_model_folder(folder).predict_proba([pictures / name for name in out["id"]])
    np.testing.assert_allclose(out[["p_cat", "p_dog"]], chances, atol=1e-6)
    (pictures / "cat" / "1.png").write_bytes(b"no picture")
    with pytest.raises(WellfitError, match=r"cat/1\.png is not an image that can be read"):
        run(folder, pictures)
    (pictures / "dog" / "2.png").write_bytes(b"")
    (pictures / "notes.txt").touch()
    with pytest.raises(WellfitError, match=r"1 more of 30 images cannot be read, all are listed in .*\.bad_files\.csv"):
        run(folder, pictures)
    written = run(folder, pictures, skips_bad_files=True)
    assert sorted({*out["id"]} - {*pd.read_csv(written)["id"]}) == ["cat/1.png", "dog/2.png"]
    assert pd.read_csv(written.with_suffix(".bad_files.csv"))["file"].tolist() == ["cat/1.png", "dog/2.png"]
    said = capsys.readouterr().out
    assert "note: 1 files are not images and are passed over, the first is notes.txt" in said
    assert f"all are listed in {written.with_suffix('.bad_files.csv')}; they have no line in {written}" in said
    only = tmp_path / "only"
    only.mkdir()
    (only / "a.png").touch()
    with pytest.raises(WellfitError, match=r"only/a\.png is empty; .*: there is nothing to predict"):
        run(folder, only, skips_bad_files=True)
    with pytest.raises(WellfitError, match=r"images takes images: --input must be a folder of them, got .*0\.png"):
        run(folder, pictures / "dog" / "0.png")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-2+3", "'-2+3"),
        ("@sum", "'@sum"),
        ("-2.5", "-2.5"),
        ("+1e5", "+1e5"),
        ("a=b", "a=b"),
    ],
)
def test_no_text_is_a_formula(folder: Path, tmp_path: Path, text: str, written: str) -> None:
    path = csv_file(tmp_path / "new.csv", [line.replace(f"r{i},", f"{text},", 1) for i, line in enumerate(lines(3))])
    assert pd.read_csv(run(folder, path), dtype=str)["id"].tolist() == [written] * 3
    assert pd.read_csv(run(folder, path, formulas=True), dtype=str)["id"].tolist() == [text] * 3


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (HEADER + "".join(lines(3)) + "1,2\n", r"new\.csv row 5: 2 cells, but 9 columns"),
        (HEADER, r"new\.csv has a header and no rows"),
        ("", r"new\.csv is empty"),
        ("a,b\n1,2\n", r"new\.csv: none of the columns that the model takes"),
    ],
)
def test_what_cannot_be_predicted_leaves_the_output_as_it_was(
    folder: Path, tmp_path: Path, content: str, fault: str
) -> None:
    path = tmp_path / "new.csv"
    path.write_text(content)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.csv").write_text("earlier\n")
    with pytest.raises(WellfitError, match=fault):
        run(folder, path)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["predictions.csv"]
    assert (tmp_path / "out" / "predictions.csv").read_text() == "earlier\n"


def test_cells_may_be_separated_otherwise_than_those_of_the_training_file(folder: Path, tmp_path: Path) -> None:
    path = csv_file(tmp_path / "new.csv", lines(3))
    predicted = run(folder, path).read_text()
    path.write_text(path.read_text().replace(",", "|"))
    predict(Options(path, tmp_path / "again.csv", folder, False, False, False, separator="pipe"))
    assert (tmp_path / "again.csv").read_text() == predicted


def test_a_device_that_is_not_there_is_named_by_its_option(folder: Path, tmp_path: Path) -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    path = csv_file(tmp_path / "new.csv")
    with pytest.raises(WellfitError, match=f"--device {missing} is not available on this machine"):
        predict(Options(path, tmp_path / "p.csv", folder, False, False, False, device=missing))


def test_the_input_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    path = csv_file(tmp_path / "new.csv")
    with pytest.raises(WellfitError, match="--output must be another file than --input"):
        predict(Options(path, path, folder, False, False, False))
    with pytest.raises(WellfitError, match=r"--input .*nowhere\.csv not found"):
        predict(Options(tmp_path / "nowhere.csv", path, folder, False, False, False))
    with pytest.raises(WellfitError, match=r"--output is a CSV file, got .*p\.parquet"):
        predict(Options(path, tmp_path / "p.parquet", folder, False, False, False))
    with pytest.raises(WellfitError, match="--check writes files beside --output, which must be a file, got /dev/null"):
        predict(Options(path, Path("/dev/null"), folder, False, False, False, check=True))
    assert path.read_text().startswith(HEADER)


CHECKED = ["predictions.check.html", "predictions.check.json", "predictions.csv"]


def check(folder: Path, path: Path, *, fail: bool = False) -> Path:
    output = path.parent / "out" / "predictions.csv"
    predict(Options(path, output, folder, False, False, False, check=True, fail_on_drift=fail))
    return output


def test_rows_are_compared_with_the_training_rows(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [line.replace("Rome", "Paris") for line in lines()]
    path = csv_file(tmp_path / "new.csv", odd)
    output = check(folder, path)
    said = capsys.readouterr().out.splitlines()
    assert said[-2].startswith(
        "note: column 'city' moved much: 'Rome' has 0.0 % of the rows, and had 29.2 % before (PSI "
    )
    columns, page = len(load_model_folder(folder).meta.columns), output.with_suffix(".check.html")
    assert said[-1] == f"1 of {columns} columns moved from what the training rows had: {page}"
    assert sorted(each.name for each in output.parent.iterdir()) == CHECKED
    found = json.loads(output.with_suffix(".check.json").read_text())
    assert (found["rows"], found["columns"][0]["name"], found["columns"][0]["moved"]) == (120, "city", "much")
    shares = {each["bin"]: each["new"] for each in found["columns"][0]["bins"]}
    assert shares["unseen or rare"] == pytest.approx(0.25)
    text = page.read_bytes()
    monkeypatch.setattr(csv_files, "PART_BYTES", 1000)  # parts make no difference
    check(folder, path)
    assert page.read_bytes() == text
    assert json.loads(output.with_suffix(".check.json").read_text()) == found


def test_a_failure_on_drift_comes_when_all_is_written(folder: Path, tmp_path: Path) -> None:
    check(folder, csv_file(tmp_path / "same.csv"), fail=True)
    path = csv_file(tmp_path / "new.csv", [line.replace("Rome", "Paris") for line in lines()])
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(
        RowsChangedError, match=r"--fail-on-drift: column 'city' moved much: see .*html; predictions are in"
    ) as caught:
        check(folder, path, fail=True)
    assert caught.value.status == 3
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == CHECKED
    assert len(pd.read_csv(tmp_path / "out" / "predictions.csv")) == 120


def test_few_rows_are_no_alarm(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(folder, csv_file(tmp_path / "new.csv", lines()[7:8]), fail=True)
    said = capsys.readouterr().out
    assert "note: 1 row is few to compare" in said
    assert "moved much" not in said


def test_images_are_compared_by_brightness_and_contrast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stage, "IMAGES_AT_ONCE", 25)
    monkeypatch.setattr("wellfit.report.page.svg", lambda figure, name: "")
    pictures = image_folder(tmp_path / "pictures", 60)
    images = ["data.name=images", f"data.path={pictures}", "data.target=null", "data.id=null"]
    folder, _, _ = leave_model(tmp_path, *images, *PICTURES)
    check(folder, pictures)
    assert "0 of 6 properties moved" in capsys.readouterr().out
    for file in pictures.rglob("*.png"):
        with Image.open(file) as image:
            dark = image.point(lambda value: value // 2)
        dark.save(file)
    check(folder, pictures)
    said = capsys.readouterr().out
    assert "note: column 'brightness of red' moved much: 'below " in said
    assert "6 of 6 properties" in said


def test_several_files_are_predicted_as_one_table(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(folder, csv_file(tmp_path / "new.csv", lines(6)), proba=True).read_text()
    capsys.readouterr()
    parts = tmp_path / "parts"
    parts.mkdir()
    new = pd.read_csv(tmp_path / "new.csv", dtype=str, keep_default_na=False)
    new[:2].to_csv(parts / "1.csv")  # with the index of pandas
    new[2:4].iloc[:, ::-1].to_csv(parts / "2.csv.gz", index=False)
    western = new[4:].to_csv(sep=";").replace("good", "gut für alle").replace("bad", "übel")
    (parts / "3.csv").write_bytes(b"sep=;\r\n" + western.encode("cp1252"))
    for path in (parts, parts / "*"):
        assert run(folder, path, proba=True).read_text() == whole
        said = capsys.readouterr().out
        assert "3.csv line 3: not UTF-8; read as Windows-1252" in said
        assert "Unnamed" not in said
    new.to_csv(parts / "4.csv", columns=list(new)[1:], index=False)
    with pytest.raises(WellfitError, match=r"4\.csv has no column 'id', which .*1\.csv has"):
        run(folder, parts)
    with pytest.raises(WellfitError, match="--output must be outside of the folder --input"):
        predict(Options(parts, parts / "predictions.csv", folder, False, False, False))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("7,2,3\n4.5,1,2\n", r"new\.csv row 1 looks like data, not like a header"),
        (HEADER + "".join(lines(3)) + "Total: 3\n", r"row 5: 1 cells, but 9 columns; delete it, if it is a footer"),
        (HEADER + "".join(lines(3)).replace("r1,", '"r1,'), r"row 3: 8 cells, .*; a quotation mark in it stands alone"),
    ],
)
def test_new_rows_are_looked_at_as_the_training_rows_were(
    folder: Path, tmp_path: Path, content: str, fault: str
) -> None:
    (tmp_path / "new.csv").write_text(content)
    with pytest.raises(WellfitError, match=fault):
        run(folder, tmp_path / "new.csv")
