"""Tables whose files are not plain CSV: exports of spreadsheets, of R and pandas, packed files, several files."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator

from .public_table import (
    Field,
    Table,
    category,
    csv_text,
    date,
    days,
    gaps,
    no_input,
    number,
    picked,
    whole,
    write_csv,
)


def avocado(random: Generator) -> Table:
    """avocado.csv: pandas' numbers of rows, which begin anew for each region, and columns named by numbers."""
    regions = ["Albany", "Atlanta", "BaltimoreWashington", "Boise", "Boston", "TotalUS", "WestTexNewMexico", "Tampa"]
    weeks = np.datetime64("2015-12-27") - 7 * np.arange(52)
    n = 52 * len(regions)
    sold = {name: number(random.gamma(1, 30_000, n).round(2), "{:.2f}") for name in ("4046", "4225", "4770")}
    bags = {name: number(random.gamma(1, 9000, n).round(2), "{:.2f}") for name in ("Small Bags", "Large Bags")}
    return Table(
        {
            "": no_input(np.tile(np.arange(52), len(regions))),
            "Date": date(np.tile(weeks, len(regions)), "%Y-%m-%d"),
            "Total Volume": number(sum(each.holds for each in (sold | bags).values()), "{:.2f}"),
            **sold,
            **bags,
            "type": category(picked(random, "conventional organic", n)),
            "region": category(np.repeat(regions, 52).tolist()),
            "AveragePrice": number(random.normal(1.4, 0.4, n).clip(0.44).round(2)),
        },
        "AveragePrice",
        warned=[("without a name", "left out")],
    )


def heart_disease_of_cleveland(random: Generator) -> Table:
    """processed.cleveland.data: no header, 63.0 for 63, and ? where a value is missing."""
    n = 300
    return Table(
        {
            "age": whole(random.integers(29, 78, n), "{:d}.0"),
            "sex": whole(random.random(n) < 0.68, "{:d}.0"),
            "cp": whole(picked(random, [1, 2, 3, 4], n), "{:d}.0"),
            "trestbps": whole(random.normal(131, 17, n), "{:d}.0"),
            "chol": whole(random.normal(246, 50, n), "{:d}.0"),
            "oldpeak": number(random.gamma(1, 1, n).round(1), "{:.1f}"),
            "ca": whole(picked(random, [0, 1, 2, 3], n), "{:d}.0", gaps=gaps(random, n, 0.013), mark="?"),
            "thal": whole(picked(random, [3, 6, 7], n), "{:d}.0", gaps=gaps(random, n, 0.007), mark="?"),
            "num": category(picked(random, [0, 1, 2, 3, 4], n, [0.53, 0.17, 0.12, 0.12, 0.06])),
        },
        "num",
        refused=("header",),
        write=without_header,
        mended=write_csv,
    )


def without_header(table: Table, folder: Path) -> Path:
    path = folder / "processed.cleveland.data"
    path.write_text(csv_text(table.rows(names=False)))
    return path


def german_sales(random: Generator) -> Table:
    """An export of Excel in German: sep=;, Windows-1252, 1.234,56 and 31.12.2020, a semicolon behind each row."""
    n = 400
    discount = random.integers(0, 30, n) / 2
    price, count = random.gamma(2, 700, n).round(2), random.integers(1, 20, n)
    return Table(
        {
            "Datum": date(days(random, n, "2019-01-02", "2021-12-31"), "%d.%m.%Y"),
            "Straße": category(picked(random, ["Königsallee", "Große Gasse", "Am Fluß"], n)),
            "Stückpreis": Field([german(value) for value in price], price),
            "Menge": whole(count),
            "Rabatt": Field([f"{percent:.1f} %".replace(".", ",") for percent in discount], discount),
            "Umsatz": Field([f"{german(value)} €" for value in price * count], np.round(price * count, 2)),
            "Zufriedenheit": category(picked(random, "gut mittel schlecht", n)),
        },
        "Zufriedenheit",
        settings={"decimal": "comma"},
        warned=[("Windows-1252",), ("without a name", "left out")],
        write=from_excel,
    )


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def from_excel(table: Table, folder: Path) -> Path:
    path = folder / "Umsätze 2021.csv"
    lines = [f"{line};" for line in csv_text(table.rows(), ";").splitlines()]
    path.write_bytes("\r\n".join(["sep=;", *lines, ""]).encode("cp1252"))
    return path


def salaries_of_graduates(random: Generator) -> Table:
    """training_set_label.csv of engineers, saved by Excel as Unicode text (UTF-16, tabs); one year is 0."""
    n = 500
    year = random.integers(2007, 2018, n)
    year[123] = 0
    english = random.integers(180, 875, n)
    return Table(
        {
            "Gender": category(picked(random, "f m", n)),
            "10percentage": number(random.normal(78, 9, n).clip(43, 97).round(2), "{:.10g}"),
            "CollegeTier": whole(picked(random, [1, 2], n)),
            "GraduationYear": whole(year),
            "English": whole(english),
            "Domain": number(random.uniform(0, 1, n), "{:.10g}"),
            "CollegeState": category(picked(random, "Delhi Uttar_Pradesh Tamil_Nadu", n)),
            "Salary": whole((400 * english + random.gamma(2, 50_000, n)) // 5000 * 5000),
        },
        "Salary",
        warned=[("separator tab",), ("'GraduationYear'", "row 125", "2007")],
        write=lambda table, folder: write_csv(table, folder, "\t", "utf-16"),
    )


def diamonds(random: Generator) -> Table:
    """diamonds.csv as R's write.table leaves it: names of rows, for which the header has no name."""
    n = 500
    carat = random.gamma(2.5, 0.32, n).clip(0.2).round(2)
    return Table(
        {
            "carat": number(carat),
            "cut": category(picked(random, ["Fair", "Good", "Very Good", "Premium", "Ideal"], n)),
            "color": category(picked(random, "D E F G H I J", n)),
            "depth": number(random.normal(61.7, 1.4, n).round(1)),
            "table": number(random.normal(57, 2, n).round()),
            "x": number((6.4 * carat ** (1 / 3) + random.normal(0, 0.05, n)).round(2)),
            "price": whole(3500 * carat**1.6 * random.gamma(16, 1 / 16, n) + 300),
        },
        "price",
        warned=[("without a name", "left out")],
        write=from_r,
    )


def from_r(table: Table, folder: Path) -> Path:
    path = folder / "diamonds.csv"
    header, *rows = table.rows()
    numbered = [[str(i), *row] for i, row in enumerate(rows, start=1)]
    path.write_text(csv_text([header, *numbered]))
    return path


def credit_card_fraud(random: Generator) -> Table:
    """creditcard.csv.gz: packed, anonymous columns, classes in quotes, of which one has 1.5 %."""
    n = 1000
    fraud = random.permutation(n) < 15
    components = {f"V{i}": number(random.normal(0, 3 / i**0.5, n) - 2 * fraud, "{:.10g}") for i in range(1, 11)}
    return Table(
        {
            "Time": whole(np.sort(random.integers(0, 172_792, n))),
            **components,
            "Amount": number(random.gamma(0.3, 290, n).round(2), "{:.10g}"),
            "Class": category(fraud.astype(int).tolist()),
        },
        "Class",
        write=packed,
    )


def packed(table: Table, folder: Path) -> Path:
    path = folder / "creditcard.csv.gz"
    path.write_bytes(gzip.compress(csv_text(table.rows(), quote_all=True).encode()))
    return path


def yellow_taxis(random: Generator) -> Table:
    """yellow_tripdata_2023-*.parquet: one file a month, columns in another order, a total that is a sum."""
    n = 600
    start = np.sort(days(random, n, "2023-01-01T00:00:00", "2023-03-31T23:00:00", "s"))
    distance = random.gamma(1.2, 2.5, n).round(2)
    fare = (3 + 2.5 * distance + random.gamma(2, 2, n)).round(1)
    tip = np.where(random.random(n) < 0.7, fare * random.uniform(0.1, 0.3, n), 0).round(2)
    tolls = np.where(random.random(n) < 0.08, 6.55, 0.0)
    passengers = np.where(random.random(n) < 0.03, np.nan, random.integers(1, 7, n))
    flag = picked(random, "N Y", n, [0.9, 0.1])
    frame = pd.DataFrame(
        {
            "VendorID": random.integers(1, 3, n),
            "tpep_pickup_datetime": start,
            "passenger_count": passengers,
            "trip_distance": distance,
            "store_and_fwd_flag": pd.Categorical(flag),
            "PULocationID": pd.Categorical(random.integers(1, 60, n)),
            "fare_amount": fare,
            "tip_amount": tip,
            "tolls_amount": tolls,
            "total_amount": (fare + tip + tolls + 1.5).round(2),
        }
    )
    holds = {name: frame[name].to_numpy(np.float64) for name in frame.columns if frame[name].dtype.kind in "if"}
    holds["tpep_pickup_datetime"] = start
    holds |= {name: frame[name].astype(str).tolist() for name in ("store_and_fwd_flag", "PULocationID")}
    return Table(
        {name: Field([], holds[name]) for name in frame.columns},
        "total_amount",
        warned=[("'fare_amount'", "'tip_amount'", "'total_amount'", "data.drop")],
        write=by_month,
        frame=frame,
    )


def by_month(table: Table, folder: Path) -> Path:
    months = table.frame["tpep_pickup_datetime"].dt.month
    for month, rows in table.frame.groupby(months):
        names = rows.columns if month == 1 else rows.columns[::-1]
        rows[names].to_parquet(folder / f"yellow_tripdata_2023-{month:02}.parquet", index=False)
    return folder / "yellow_tripdata_2023-*.parquet"


TABLES = (
    avocado,
    heart_disease_of_cleveland,
    german_sales,
    salaries_of_graduates,
    diamonds,
    credit_card_fraud,
    yellow_taxis,
)
