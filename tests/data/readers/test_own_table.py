import hashlib
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wellfit.data.catalog import CATALOG
from wellfit.data.encode import encode, fit_columns
from wellfit.data.raw import FileRows, RawData
from wellfit.data.readers.own_table import describe_csv, read_own_table
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

Read = Callable[..., RawData]
ROWS = "size,colour,price,when,shop,name,w\n" + "".join(
    f"{i * 7 % 13},{'red' if i % 3 else 'blue'},{100 + i * i % 17}.5,2024-01-{i % 28 + 1:02},s{i % 4},n{i},{i % 2}\n"
    for i in range(30)
)


@pytest.fixture
def read(data_config: Callable[..., DataConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Writes a CSV file, or a Parquet file from a DataFrame, and reads it."""
    monkeypatch.chdir(tmp_path)

    def run(content: str | pd.DataFrame = ROWS, **changes: Any) -> RawData:
        if isinstance(content, str):
            Path("t.csv").write_text(content)
            data = data_config("csv", path="t.csv", **{"target": "price"} | changes)
            return read_own_table(CATALOG["csv"], tmp_path, data)
        content.to_parquet("t.parquet")
        data = data_config("parquet", path="t.parquet", **{"target": "price"} | changes)
        return read_own_table(CATALOG["parquet"], tmp_path, data)

    return run


def test_every_column_gets_its_part(read: Read) -> None:
    raw = read(time="when", id="name", weight="w", drop=["shop"])
    assert list(raw.x) == ["size", "colour"]
    assert raw.y.dtype == np.float64
    assert raw.y[:3].tolist() == [100.5, 101.5, 104.5]
    assert (raw.class_names, raw.target_name) == ((), "price")
    assert raw.ids is not None
    assert raw.ids[:2].tolist() == ["n0", "n1"]
    assert raw.weights is not None
    assert raw.weights[:3].tolist() == [0.0, 1.0, 0.0]
    assert raw.times is not None
    assert np.argsort(raw.times, kind="stable")[:3].tolist() == [0, 28, 1]
    assert (raw.groups, raw.splits) == (None, None)
    groups = read(group="shop", drop=["when", "name"]).groups
    assert groups is not None
    assert groups[:5].tolist() == [0, 1, 2, 3, 0]


def test_csv_and_parquet_are_read_alike(read: Read) -> None:
    frame = pd.read_csv(pd.io.common.StringIO(ROWS))
    changes: Any = {"drop": ["when", "name"], "group": "shop", "weight": "w"}
    one, two = read(ROWS, **changes), read(frame, **changes)
    pd.testing.assert_frame_equal(one.x, two.x)
    np.testing.assert_array_equal(one.y, two.y)
    np.testing.assert_array_equal(one.groups, two.groups)
    np.testing.assert_array_equal(one.weights, two.weights)


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (["yes", "no"], ("no", "yes")),
        (["2", "10"], ("2", "10")),
        (["10", "2", "1"], ("1", "2", "10")),
        (["true", "false"], ("false", "true")),
        (["None", "some"], ("None", "some")),
        (["1.5", "2.5"], ()),
    ],
)
def test_the_task_follows_from_the_target(target: list[str], names: tuple[str, ...], read: Read) -> None:
    rows = "x,price\n" + "".join(f"{i * i % 7},{target[i % len(target)]}\n" for i in range(12))
    raw = read(rows)
    assert raw.class_names == names
    expected = [names.index(target[i % len(target)]) for i in range(12)] if names else [float(t) for t in target] * 6
    assert raw.y.tolist() == expected
    assert raw.y.dtype == (np.int64 if names else np.float64)


def test_many_whole_numbers_are_amounts_unless_params_say_otherwise(read: Read) -> None:
    rows = "x,price\n" + "".join(f"{i * i % 7},{i % 21}\n" for i in range(63))
    assert read(rows).class_names == ()
    assert len(read(rows, task="classification").class_names) == 21
    assert read("x,price\n1,0\n2,1\n2,0\n", task="regression").class_names == ()


@pytest.mark.parametrize(
    ("rows", "changes", "fault"),
    [
        ("a,b\n1,2\n", {}, r"data\.target: t\.csv has no column 'price'; it has a, b"),
        ("a,Price\n1,2\n", {}, r"no column 'price'; did you mean 'Price'\?"),
        (ROWS, {"drop": ["nmae"]}, r"data\.drop: t\.csv has no column 'nmae'; did you mean 'name'\?"),
        ("a,price\n", {}, r"t\.csv has a header and no rows"),
        ("a,price\n1,2\n3,\n4,\n", {}, r"t\.csv row 3: data\.target 'price' is missing, as in 2 rows in all"),
        ("a,price\n1,x\n3,x\n", {}, r"column 'price': the target has one class only, 'x' in every row"),
        ("a,price\n1,2.5\n3,2.5\n", {}, r"column 'price': the target is 2\.5 in every row"),
        ("a,price\n1,2.5\n3,1e400\n", {}, r"row 3, column 'price': is infinite \(inf\)"),
        ("a,price\n1,2.5\n3,x\n", {"task": "regression"}, r"row 3, column 'price': 'x' is not a number"),
        ("a,price\n1,2024-01-01\n3,2024-01-02\n", {}, r"column 'price': holds dates, which cannot"),
        (
            "a,price\n" + "".join(f"{i},name {i}\n" for i in range(30)),
            {},
            r"target has 30 classes in 30 rows; name anothe",
        ),
        ("a,price,n\n1,2,x\n3,4," + "y" * 201 + "\n", {"id": "n"}, r"row 3, data\.id 'n': must have at most 200 char"),
        ("a,price,w\n1,2,1\n3,4,-1\n", {"weight": "w"}, r"row 3, data\.weight 'w': must be >= 0, got -1"),
        ("a,price,w\n1,2,1\n3,4,\n", {"weight": "w"}, r"row 3: data\.weight 'w' is missing"),
        ("a,price,g\n1,2,\n3,4,1\n", {"group": "g"}, r"row 2: data\.group 'g' is missing"),
        ("a,price,n\n1,2,\n3,4,1\n", {"id": "n"}, r"row 2: data\.id 'n' is missing"),
        (
            "a,price,t\n1,2,2024-05-31\n3,4,soon\n",
            {"time": "t"},
            r"row 3, column 't': 'soon' is not a date such as '2024-05-31'",
        ),
        ("a,price\n1,2\n3\n", {}, r"t\.csv row 3: 1 cells, but 2 columns"),
    ],
)
def test_a_bad_table_is_one_line(rows: str, changes: dict[str, Any], fault: str, read: Read) -> None:
    with pytest.raises(WellfitError, match=fault) as raised:
        read(rows, **changes)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "times",
    [
        ["3", "20", "1"],
        ["2024-01-03", "2024-02-01", "2023-12-31"],
        ["2024-01-01T10:00:01Z", "2024-01-01T12:00:00+01:00", "2024-01-01T09:00:00Z"],
    ],
)
def test_time_may_be_numbers_or_dates(times: list[str], read: Read) -> None:
    raw = read("a,price,t\n" + "".join(f"{i},{i * i}.5,{time}\n" for i, time in enumerate(times)), time="t")
    assert raw.times is not None
    assert np.argsort(raw.times).tolist() == [2, 0, 1]


def test_times_of_a_parquet_file(read: Read) -> None:
    frame = pd.DataFrame(
        {"a": [1, 2, 3], "price": [0.5, 1.5, 4.0], "t": pd.to_datetime(["2024-03-01", "1969-01-01", "2020-01-01"])}
    )
    raw = read(frame, time="t")
    assert raw.times is not None
    assert np.argsort(raw.times).tolist() == [1, 2, 0]


def test_ids_that_are_numbers_stay_numbers(read: Read) -> None:
    raw = read(pd.DataFrame({"a": [1, 5, 2], "price": [0.5, 1.5, 9.5], "n": [2**60 + 1, 7, 8]}), id="n")
    assert raw.ids is not None
    assert raw.ids.tolist() == [2**60 + 1, 7, 8]


def test_nan_in_a_parquet_file_is_missing_in_every_part(read: Read) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "price": [0.0, 1.0, float("nan")]})
    for changes in (
        {},
        {"task": "classification"},
        {"target": "a", "time": "price"},
        {"target": "a", "weight": "price"},
    ):
        with pytest.raises(WellfitError, match=r"row 3: data\.[a-z]+ 'price' is missing"):
            read(frame, **changes)


def test_durations_are_no_times(read: Read) -> None:
    frame = pd.DataFrame({"a": [1, 2], "price": [0.5, 1.5], "t": pd.to_timedelta([1, 2], "s")})
    with pytest.raises(WellfitError, match=r"column 't': duration.* cannot be read as numbers"):
        read(frame, time="t")


def test_the_row_numbers_of_pandas_are_no_column(read: Read) -> None:
    frame = pd.DataFrame({"a": [1, 2, 5, 3], "price": [0.5, 1.5, 0.1, 9.0]})
    assert list(read(frame.sample(frac=1, random_state=0)).x) == ["a"]


def test_a_cell_that_reads_like_the_mark_of_missing_ones(read: Read) -> None:
    raw = read("a,colour,price\n" + "".join(f"{i},{['(missing)', '', 'red'][i % 3]},{i * i}.5\n" for i in range(9)))
    columns = fit_columns(raw.x, 100)
    assert columns[1].categories == ("(missing)", "red")
    assert encode(columns, raw.x)[:3, 1].tolist() == [0, 0, 1]


def test_a_csv_file_as_a_german_spreadsheet_writes_it(read: Read) -> None:
    rows = "Größe;Preis\n" + "".join(f"{i},5;1.{100 + i * i % 91},25\n" for i in range(20))
    raw = read(rows, target="Preis", separator="semicolon", decimal="comma")
    assert raw.x["Größe"].tolist()[:2] == [0.5, 1.5]
    assert raw.y[:2].tolist() == [1100.25, 1101.25]
    with pytest.raises(
        WellfitError, match=r"column 'Preis': '100,25' looks like a number with a decimal comma; set data"
    ):
        read(rows.replace("1.1", "1"), target="Preis", separator="semicolon", task="classification")


def test_a_target_without_a_logarithm_is_refused_by_its_row(read: Read) -> None:
    rows = "x,price\n" + "".join(f"{i},{i - 2.5}\n" for i in range(9))
    with pytest.raises(WellfitError) as caught:
        read(rows, target_transform="log")
    assert str(caught.value) == (
        "t.csv row 2, column 'price': data.target_transform log needs targets >= 0, got -2.5; use quantile or none "
        "(params.yaml)"
    )


def test_a_target_keeps_its_digits(read: Read) -> None:
    rows = "a,price\n" + "".join(f"{i * i % 7},{1_000_000_000 + i / 8}\n" for i in range(30))
    assert read(rows).y.tolist() == [1_000_000_000 + i / 8 for i in range(30)]


def test_the_worst_time_is_named(read: Read) -> None:
    with pytest.raises(WellfitError, match=r"row 4, data\.time 't': must be a number or a date.*'garbage'"):
        read("a,price,t\n1,2.5,1\n3,4.5,2\n3,4.5,garbage\n", time="t")


def test_rows_of_a_parquet_file_are_counted_from_one(read: Read) -> None:
    with pytest.raises(WellfitError, match=r"row 2: data\.target 'price' is missing"):
        read(pd.DataFrame({"a": [1, 2], "price": [0.5, None]}))


def test_text_is_left_out_by_name_or_hashed(read: Read) -> None:
    rows = "a,price,remark,who\n" + "".join(f"{i * i % 7},{i * i}.5,remark {i},customer {i}\n" for i in range(202))
    left_out = read(rows)
    assert list(left_out.x) == ["a"]
    assert left_out.left_out == ("remark", "who")
    assert left_out.warnings[0].startswith("names or free text in 'remark', 'who': left out (data.text: hash counts")
    hashed = read(rows, text="hash", drop=["who"])
    assert [(source.name, source.kind) for source in hashed.sources] == [("a", "numbers"), ("remark", "text")]
    assert hashed.x["remark"].iloc[7] == "remark 7"
    assert hashed.warnings == ()


def test_constant_columns_are_no_sources(read: Read) -> None:
    rows = "a,b,price,when\n" + "".join(f"{i * i % 7},EUR,{i * i}.5,2024-05-{i + 1:02}\n" for i in range(12))
    raw = read(rows)
    assert [(source.name, source.kind) for source in raw.sources] == [("a", "numbers"), ("when", "dates")]
    assert list(raw.x) == ["a", "when"]
    assert raw.files == (FileRows(Path("t.csv"), 2),)


@pytest.mark.parametrize(
    ("times", "day_first"),
    [
        (["7-Jan-18", "1-Feb-18", "31-Dec-17"], None),
        (["25/9/2012 8:26", "25/9/2012 18:26", "24/9/2012 9:00"], None),
        (["1/2/2012", "1/3/2012", "3/1/2012"], True),
        (["2/1/2012", "3/1/2012", "1/3/2012"], False),
    ],
)
def test_time_takes_the_spellings_that_inputs_may_have(times: list[str], day_first: bool | None, read: Read) -> None:
    rows = "a,price,t\n" + "".join(f"{i},{i * i}.5,{time}\n" for i, time in enumerate(times))
    raw = read(rows, time="t", day_first=day_first)
    assert raw.times is not None
    assert np.argsort(raw.times).tolist() == [2, 0, 1]
    if day_first is not None:
        with pytest.raises(WellfitError, match=r"t\.csv row 2, column 't': .*set data\.day_first to true or false"):
            read(rows, time="t")


def test_all_columns_that_cannot_be_used_are_told_at_once(read: Read) -> None:
    rows = "a,b,c,price\n" + "".join(
        f"0{i % 9 + 1}-0{i % 7 + 1}-2012,{'pending' if i % 9 == 0 else i},{i} {('kg', 'lb')[i % 2]},{i * i}.5\n"
        for i in range(60)
    )
    with pytest.raises(WellfitError) as caught:
        read(rows)
    told = str(caught.value)
    assert told.startswith(
        "t.csv: 3 columns cannot be used: (1) row 2, column 'a': '01-01-2012' may begin with the day"
    )
    assert "; (2) column 'b': holds numbers but for 'pending' (7 cells); if it stands" in told
    assert "; (3) row 3, column 'c': '1 lb' is a number in another unit or spelling than '0 kg'; write" in told
    mended = read(rows, day_first=True, missing=["pending"], drop=["c"])
    assert [(source.name, source.kind) for source in mended.sources] == [("a", "dates"), ("b", "numbers")]


def test_what_is_advised_about_a_column_is_accepted(read: Read) -> None:
    rows = "a,b,price\n" + "".join(f"{i % 6}.{i % 5},{i % 40} {'kg' if i % 4 else 'lb'},{i}.5\n" for i in range(120))
    with pytest.raises(
        WellfitError, match=r"column 'b': '0 lb' is .* list the column in data\.categorical or data\.drop$"
    ):
        read(rows)
    assert "b" in read(rows, categorical=["b"]).x
    with pytest.raises(WellfitError, match=r"column 'b': '0 lb' is .* write all alike, or take these rows out$"):
        read(rows, target="b")


@pytest.mark.parametrize("role", ["target", "id", "weight", "group", "time"])
@pytest.mark.parametrize("cells", [[[1], [2], [3]], [{"a": 1}] * 3, [b"\xff", b"\xfe", b"\xfd"]])
def test_a_role_needs_numbers_or_text(role: str, cells: list[Any], read: Read) -> None:
    frame = pd.DataFrame({"a": [1.5, 5.5, 2.5], "price": [0.5, 1.5, 9.5], "tags": cells})
    with pytest.raises(
        WellfitError, match=rf"t\.parquet column 'tags': .* is neither numbers nor text; in data\.{role}, name another"
    ) as caught:
        read(frame, **{role: "tags"})
    assert "data.drop" not in str(caught.value)


def test_numbers_of_rows_are_no_inputs(read: Read) -> None:
    rows = "Unnamed: 0,customer_id,a,price\n" + "".join(f"{i},{i * i + 1000},{i % 7},{i % 5}.5\n" for i in range(40))
    raw = read(rows)
    assert list(raw.x) == ["a"]
    assert raw.warnings == (
        "column 'Unnamed: 0' counts the rows, from 0 to 39, and is left out; list it in data.numeric to keep it",
        "column 'customer_id' names the rows, with 40 different whole numbers in 40 rows, and is left out; list it in "
        "data.numeric to keep it",
    )
    assert raw.left_out == ("Unnamed: 0", "customer_id")
    assert list(read(rows, numeric=["customer_id"]).x) == ["customer_id", "a"]


def test_the_only_odd_cell_may_be_a_footer(read: Read) -> None:
    rows = [f"{i},{i * i}.5" for i in range(40)]
    for odd, told in (
        (39, "; if the last row is a total, take it out"),
        (0, "; if the first row says units, take it out"),
    ):
        cells = [*rows[:odd], f"kg,{odd}.5", *rows[odd + 1 :]]
        with pytest.raises(
            WellfitError, match=rf"t\.csv row {odd + 2}, column 'a': 'kg' is not a number; mend it.*{told}"
        ):
            read("a,price\n" + "\n".join(cells))


def test_time_may_have_thousands(read: Read) -> None:
    raw = read('a,price,t\n1,0.5,"1,000"\n2,1.5,"2,000"\n4,2.5,999\n', time="t")
    assert raw.times is not None
    assert raw.times.tolist() == [1000, 2000, 999]


def test_ids_above_the_largest_int64_stay_exact(read: Read) -> None:
    frame = pd.DataFrame({"a": [1, 5, 2], "price": [0.5, 1.5, 9.5]})
    for ids, kind in [([2**63 + 7, 7, 2**64 - 1], np.uint64), ([3, 7, 1], np.int64)]:
        raw = read(frame.assign(n=np.array(ids, np.uint64)), id="n")
        assert raw.ids is not None
        assert (raw.ids.dtype, raw.ids.tolist()) == (kind, ids)


@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        ([Decimal("12345678901234567890.12"), Decimal(1), Decimal(2)], ["12345678901234567890.12", "1.00", "2.00"]),
        ([date(2024, 5, 31), date(1969, 1, 1), date(1970, 1, 1)], ["2024-05-31", "1969-01-01", "1970-01-01"]),
        ([1e15 + 1, 0.1, 2.5], ["1.000000000000001e+15", "0.1", "2.5"]),
    ],
)
def test_ids_of_other_types_are_exact_texts(ids: list[Any], texts: list[str], read: Read) -> None:
    raw = read(pd.DataFrame({"a": [1, 5, 2], "price": [0.5, 1.5, 9.5], "n": ids}), id="n")
    assert raw.ids is not None
    assert raw.ids.tolist() == texts


def test_declared_categories_are_categories_unless_params_say_otherwise(read: Read) -> None:
    frame = pd.DataFrame({"code": [30, 10, 20] * 10, "when": pd.to_datetime(["2024-01-01", "2024-02-01"] * 15)})
    frame = frame.astype("category").assign(a=[i * i % 11 for i in range(30)], price=[0.5, 1.5, 9.5] * 10)
    kinds = {source.name: source.kind for source in read(frame).sources}
    assert kinds == {"code": "categories", "when": "categories", "a": "numbers"}
    assert read(frame, numeric=["code"]).x["code"].tolist()[:2] == [30.0, 10.0]
    classes = read(pd.concat([frame, frame]).assign(price=pd.Categorical([*range(25)] * 2 + [0] * 10))).class_names
    assert classes == tuple(map(str, range(25)))


def test_row_labels_are_left_out_unless_params_name_them(read: Read) -> None:
    rows = ",a,price,\n" + "".join(f"{i},{i * i % 7},{i * i}.5,\n" for i in range(12))
    raw = read(rows)
    assert list(raw.x) == ["a"]
    assert [warning[:27] for warning in raw.warnings] == ["column 1 without a name has", "column 4 without a name has"]
    assert list(read(rows, numeric=["Unnamed: 0"]).x) == ["Unnamed: 0", "a"]
    raw = read(rows, id="Unnamed: 0", drop=["Unnamed: 3"])
    assert raw.ids is not None
    assert (raw.ids[:2].tolist(), raw.warnings) == (["0", "1"], ())
    frame = pd.DataFrame({"a": [1, 5, 2], "price": [0.5, 1.5, 9.5], "who": ["x", "y", "z"], "shop": [1, 1, 2]})
    raw = read(frame.set_index(["who", "shop"]), id="who")
    assert list(raw.x) == ["a"]
    assert [warning[:50] for warning in raw.warnings] == ["'shop': of the index of pandas, which names rows: "]


def test_commas_may_be_decimal_marks_where_another_separator_is_found(read: Read) -> None:
    rows = "n;a;price\n" + "".join(f"{i % 9 + 1},{i:03};0,{i * i % 7};{i % 2}\n" for i in range(30))
    with pytest.raises(
        WellfitError, match=r"'0,0' looks like a number with a decimal comma; set data\.decimal to comma"
    ):
        read(rows)
    assert read(rows, decimal="comma").x["n"].tolist()[:2] == [1.0, 2.001]


def test_rows_of_several_files_are_named_by_their_own(
    read: Read, data_config: Callable[..., DataConfig], tmp_path: Path
) -> None:
    for name, rows in {"1.csv": "a,price\n1,0.5\n2,1.5\n", "2.csv": "# x\nprice;a\n0.5;\nx;3\n"}.items():
        Path(name).write_text(rows)
    data = data_config("csv", path="*.csv", target="price", task="regression")
    with pytest.raises(WellfitError, match=r"^2\.csv row 4, column 'price': 'x' is not a number"):
        read_own_table(CATALOG["csv"], tmp_path, data)
    Path("2.csv").write_text("price;a\n0.5;\n4.5;3\n")
    raw = read_own_table(CATALOG["csv"], tmp_path, data)
    assert raw.y.tolist() == [0.5, 1.5, 0.5, 4.5]
    assert raw.files == (FileRows(Path("1.csv"), 2), FileRows(Path("2.csv"), 2, 2))
    assert raw.warnings == ("2.csv: read with data.separator semicolon, which its header and rows have",)


def test_files_are_described_by_their_content(
    data_config: Callable[..., DataConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.csv", "a.csv"):
        Path(name).write_text(name)
    known = {name: {"bytes": 5, "sha256": hashlib.sha256(name.encode()).hexdigest()} for name in ("a.csv", "b.csv")}
    assert describe_csv(data_config("csv", path="a.csv", target="y")) == known["a.csv"]
    assert describe_csv(data_config("csv", path="*.csv", target="y")) == {"files": known}
