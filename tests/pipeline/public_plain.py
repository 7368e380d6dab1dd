"""Tables that need little: codes, gaps, a column of row numbers, rare classes."""

import numpy as np
from numpy.random import Generator

from .public_table import Table, category, date, days, gaps, no_input, number, picked, whole, write_csv

YES_NO = ("No", "Yes")


def iris(random: Generator) -> Table:
    """Iris.csv: its rows are sorted by class and numbered, so that their numbers tell the class."""
    species = np.repeat(["Iris-setosa", "Iris-versicolor", "Iris-virginica"], 50)
    order = np.repeat([0, 1, 2], 50)
    sizes = {
        "SepalLengthCm": (5.0 + 0.8 * order, 0.5),
        "SepalWidthCm": (3.4 - 0.3 * (order == 1), 0.35),
        "PetalLengthCm": (1.5 + 2.75 * (order > 0) + 1.2 * (order > 1), 0.45),
        "PetalWidthCm": (0.25 + 1.1 * (order > 0) + 0.7 * (order > 1), 0.22),
    }
    return Table(
        {"Id": no_input(range(1, 151))}
        | {name: number(np.abs(random.normal(*size)).round(1)) for name, size in sizes.items()}
        | {"Species": category(species.tolist())},
        "Species",
        warned=[("'Id'", "left out")],
    )


def stroke(random: Generator) -> Table:
    """healthcare-dataset-stroke-data.csv: N/A among numbers, 5 % strokes, ids in no order."""
    n = 600
    age = random.integers(1, 83, n)
    sick = random.random(n) < 0.15 * (age / 82) ** 2
    return Table(
        {
            "id": no_input(random.choice(73_000, n, replace=False)),
            "gender": category(picked(random, "Female Male", n)),
            "age": whole(age),
            "hypertension": whole(random.random(n) < 0.1),
            "heart_disease": whole(random.random(n) < 0.06),
            "ever_married": category(picked(random, YES_NO, n)),
            "work_type": category(picked(random, "Private Self-employed Govt_job children Never_worked", n)),
            "Residence_type": category(picked(random, "Urban Rural", n)),
            "avg_glucose_level": number(random.gamma(9, 12, n).round(2)),
            "bmi": number(random.normal(29, 7, n).round(1), gaps=gaps(random, n, 0.04), mark="N/A"),
            "smoking_status": category(
                picked(random, ["formerly smoked", "never smoked", "smokes", "Unknown"], n)  # one of them, and no gap
            ),
            "stroke": category(sick.astype(int).tolist()),
        },
        "stroke",
        warned=[("'id'", "left out")],
    )


def house_prices(random: Generator) -> Table:
    """train.csv of Ames: NA says that there is none of it; some columns have hardly anything else."""
    n = 500
    area, quality = random.gamma(8, 190, n).astype(int), random.integers(1, 11, n)
    built = random.integers(1900, 2010, n)
    no_garage = gaps(random, n, 0.05)
    return Table(
        {
            "Id": no_input(range(1, n + 1)),
            "MSSubClass": whole(picked(random, [20, 30, 50, 60, 120], n)),
            "MSZoning": category(picked(random, "RL RM FV RH C", n)),
            "LotFrontage": whole(random.normal(70, 20, n), gaps=gaps(random, n, 0.18), mark="NA"),
            "LotArea": whole(random.gamma(6, 1700, n)),
            "Alley": category(picked(random, "Grvl Pave", n), gaps(random, n, 0.93), "NA"),
            "OverallQual": whole(quality),
            "YearBuilt": whole(built),
            "GrLivArea": whole(area),
            "GarageYrBlt": whole(built, gaps=no_garage, mark="NA"),
            "GarageType": category(picked(random, "Attchd Detchd BuiltIn", n), no_garage, "NA"),
            "PoolQC": category(picked(random, "Ex Fa Gd", n), gaps(random, n, 0.97), "NA"),
            "MoSold": whole(random.integers(1, 13, n)),
            "YrSold": whole(random.integers(2006, 2011, n)),
            "SalePrice": whole(60 * area + 9000 * quality + random.normal(0, 30_000, n) + 40_000),
        },
        "SalePrice",
        warned=[("'Id'", "left out")],
    )


def telco_churn(random: Generator) -> Table:
    """WA_Fn-UseC_-Telco-Customer-Churn.csv: a blank among the charges of new customers, names of customers."""
    n = 500
    tenure = random.integers(0, 73, n)
    monthly = random.uniform(18, 119, n).round(2)
    total = (tenure * monthly + random.normal(0, 40, n) * (tenure > 0)).clip(20).round(2)
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    names = [f"{random.integers(1000, 9999)}-{''.join(picked(random, letters, 5))}" for _ in range(n)]
    leaves = random.random(n) < 0.45 - 0.005 * tenure
    return Table(
        {
            "customerID": no_input(names),
            "gender": category(picked(random, "Female Male", n)),
            "SeniorCitizen": whole(random.random(n) < 0.16),
            "Partner": category(picked(random, YES_NO, n)),
            "tenure": whole(tenure),
            "OnlineSecurity": category(picked(random, ["No", "Yes", "No internet service"], n)),
            "Contract": category(picked(random, ["Month-to-month", "One year", "Two year"], n)),
            "PaymentMethod": category(picked(random, ["Electronic check", "Bank transfer (automatic)"], n)),
            "MonthlyCharges": number(monthly),
            "TotalCharges": number(total, "{:.10g}", gaps=tenure == 0, mark=" "),
            "Churn": category(np.where(leaves, "Yes", "No").tolist()),
        },
        "Churn",
        warned=[("'customerID'", "left out")],
    )


def wine_quality(random: Generator) -> Table:
    """winequality-white.csv: semicolons, and marks of which the best and the worst are too rare to be classes."""
    n = 400
    alcohol = random.normal(10.5, 1.2, n).round(1)
    quality = (5.8 + 0.4 * (alcohol - 10.5) + random.normal(0, 0.7, n)).round().clip(4, 8)
    quality[[5, 200]] = 9
    quality[77] = 3
    return Table(
        {
            "fixed acidity": number(random.normal(6.9, 0.8, n).round(1)),
            "residual sugar": number(random.gamma(1.5, 4, n).round(1)),
            "density": number(random.normal(0.994, 0.003, n).round(5), "{:.5f}"),
            "pH": number(random.normal(3.19, 0.15, n).round(2)),
            "alcohol": number(alcohol),
            "quality": whole(quality),
        },
        "quality",
        warned=[("separator semicolon",)],
        refused=("'3'", "data.task"),
        advice={"task": "regression"},
        write=lambda table, folder: write_csv(table, folder, ";"),
    )


def insurance(random: Generator) -> Table:
    """insurance.csv: nothing is odd about it."""
    n = 400
    age, bmi, smoker = random.integers(18, 65, n), random.normal(30, 6, n).round(2), random.random(n) < 0.2
    charges = 250 * age + 300 * bmi + 20_000 * smoker * (bmi > 30) + random.gamma(2, 2000, n) - 5000
    return Table(
        {
            "age": whole(age),
            "sex": category(picked(random, "female male", n)),
            "bmi": number(bmi),
            "children": whole(random.integers(0, 6, n)),
            "smoker": category(np.where(smoker, "yes", "no").tolist()),
            "region": category(picked(random, "southwest southeast northwest northeast", n)),
            "charges": number(charges.round(4), "{:.10g}"),
        },
        "charges",
    )


def owid_covid(random: Generator) -> Table:
    """owid-covid-data.csv: many gaps, and columns that hold nothing in this selection."""
    n = 450
    cases = random.gamma(0.7, 900, n).round()
    return Table(
        {
            "iso_code": category(picked(random, "DEU FRA ITA OWID_WRL", n)),
            "continent": category(picked(random, ["Europe"], n), gaps(random, n, 0.2)),
            "date": date(days(random, n, "2020-03-01", "2022-11-30"), "%Y-%m-%d"),
            "new_cases": number(cases, "{:.1f}", gaps=gaps(random, n, 0.05)),
            "new_tests": number(random.gamma(2, 40_000, n).round(), "{:.1f}", gaps=gaps(random, n, 0.6)),
            "reproduction_rate": number(random.normal(1, 0.2, n).round(2), gaps=gaps(random, n, 0.1)),
            "weekly_icu_admissions": no_input([""] * n),
            "stringency_index": number(random.uniform(20, 90, n).round(2)),
            "new_deaths": number(random.poisson(0.01 * cases + 5), "{:.1f}"),
        },
        "new_deaths",
        warned=[("'weekly_icu_admissions'", "missing in every row", "left out")],
        settings={"task": "regression"},
    )


TABLES = (iris, stroke, house_prices, telco_churn, wine_quality, insurance, owid_covid)
