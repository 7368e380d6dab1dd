"""Tables with columns that give the target away."""

import numpy as np
import pandas as pd
from numpy.random import Generator

from .public_table import Table, category, date, days, gaps, no_input, number, phrases, picked, whole


def titanic(random: Generator) -> Table:
    """titanic3.csv: boats of those who were saved, hardly of others; a full stop in a column's name."""
    n = 600
    survived = random.random(n) < 0.4
    odd = random.random(n) < 0.015
    boats = picked(random, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 A B C D", n)
    places = ["New York, NY", "Cornwall / Akron, OH", "Montreal, PQ", "Södertälje, Sweden"]
    return Table(
        {
            "pclass": whole(picked(random, [1, 2, 3], n)),
            "survived": category(survived.astype(int).tolist()),
            "name": no_input(
                [f"{text}, Mr. J. ({i})" for i, text in enumerate(phrases(random, n, "Allen Braund Moor"))]
            ),
            "sex": category(picked(random, "female male", n)),
            "age": number(random.uniform(0.5, 80, n).round(1), "{:.10g}", gaps=gaps(random, n, 0.2)),
            "sibsp": whole(random.poisson(0.5, n)),
            "ticket": no_input([f"{p}{i * 37 + 1000}" for i, p in enumerate(picked(random, ["", "PC ", "C.A. "], n))]),
            "fare": number(random.gamma(1, 33, n).round(4), "{:.10g}", gaps=gaps(random, n, 0.002)),
            "cabin": category(picked(random, "B5 C22 E12 D7", n), gaps(random, n, 0.77)),
            "embarked": category(picked(random, "C Q S", n), gaps(random, n, 0.003)),
            "boat": category(boats, survived == odd),
            "body": whole(random.integers(1, 328, n), gaps=survived | (random.random(n) < 0.8)),
            "home.dest": category(picked(random, places, n), gaps(random, n, 0.43)),
        },
        "survived",
        warned=[("'name'", "'ticket'", "left out"), ("'boat'", "'survived'", "data.drop")],
    )


def bank_churners(random: Generator) -> Table:
    """BankChurners.csv: two scores of a classifier, of which the publisher says that they must be deleted."""
    n = 600
    leaves = random.random(n) < 0.16
    first, second = (
        f"Naive_Bayes_Classifier_Attrition_Flag_Card_Category_Contacts_Count_12_mon_Dependent_count_{i}" for i in "12"
    )
    score = random.uniform(1e-5, 4e-4, n)
    score[leaves] = 1 - score[leaves]
    return Table(
        {
            "CLIENTNUM": no_input(708_000_000 + random.choice(120_000_000, n, replace=False)),
            "Attrition_Flag": category(np.where(leaves, "Attrited Customer", "Existing Customer").tolist()),
            "Customer_Age": whole(random.integers(26, 73, n)),
            "Gender": category(picked(random, "F M", n)),
            "Education_Level": category(picked(random, "Graduate Uneducated Unknown Doctorate", n)),
            "Income_Category": category(
                picked(
                    random, ["Less than $40K", "$40K - $60K", "$60K - $80K", "$80K - $120K", "$120K +", "Unknown"], n
                )
            ),
            "Credit_Limit": number(random.gamma(1, 8000, n).round(1) + 1438, "{:.10g}"),
            "Total_Trans_Ct": whole(random.normal(68, 20, n).clip(10)),
            "Avg_Utilization_Ratio": number(random.beta(1, 3, n).round(3)),
            first: number(score, "{:.10g}"),
            second: number(1 - score, "{:.10g}"),
        },
        "Attrition_Flag",
        warned=[("'CLIENTNUM'", "left out"), ("_1'", "'Attrition_Flag'"), ("_2'", "'Attrition_Flag'")],
    )


def hotel_bookings(random: Generator) -> Table:
    """hotel_bookings.csv: a status that tells whether it was cancelled, the text NULL, and a third of rows twice."""
    n, distinct = 600, 420
    status = random.choice(3, distinct, p=[0.63, 0.33, 0.04])
    leaves = status > 0
    arrival = days(random, distinct, "2015-07-01", "2017-08-31")
    fields = {
        "hotel": category(picked(random, ["Resort Hotel", "City Hotel"], distinct)),
        "is_canceled": category(leaves.astype(int).tolist()),
        "lead_time": whole(random.gamma(1, 104, distinct)),
        "arrival_date_month": category(pd.DatetimeIndex(arrival).month_name().tolist()),
        "children": whole(random.poisson(0.1, distinct), gaps=gaps(random, distinct, 0.002), mark="NA"),
        "country": category(picked(random, "PRT GBR FRA ESP", distinct), gaps(random, distinct, 0.01), "NULL"),
        "agent": whole(random.integers(1, 500, distinct), gaps=gaps(random, distinct, 0.14), mark="NULL"),
        "adr": number(random.gamma(4, 25, distinct).round(2)),
        "reservation_status": category(np.array(["Check-Out", "Canceled", "No-Show"])[status].tolist()),
        "reservation_status_date": date(arrival - leaves * random.integers(1, 200, distinct), "%Y-%m-%d"),
    }
    rows = np.concatenate([np.arange(distinct), random.choice(distinct, n - distinct)])
    random.shuffle(rows)
    repeated = {
        name: each._replace(
            cells=[each.cells[i] for i in rows],
            holds=each.holds[rows] if isinstance(each.holds, np.ndarray) else [each.holds[i] for i in rows],
        )
        for name, each in fields.items()
    }
    return Table(
        repeated,
        "is_canceled",
        warned=[("'reservation_status'", "'is_canceled'", "data.drop"), ("rows equal an earlier row", "same split")],
        twins_together=True,
    )


def bike_sharing(random: Generator) -> Table:
    """day.csv: the target is a sum of two columns; one row a day, numbered."""
    n = 500
    dates = np.datetime64("2011-01-01") + np.arange(n)
    month = dates.astype("datetime64[M]").astype(int) % 12 + 1
    temperature = (0.5 - 0.3 * np.cos(2 * np.pi * month / 12) + random.normal(0, 0.05, n)).round(6)
    casual, registered = random.poisson(200 + 1200 * temperature), random.poisson(1500 + 4000 * temperature)
    casual = (casual * random.gamma(4, 0.25, n)).astype(int)
    registered = (registered * random.gamma(9, 0.11, n)).astype(int)
    return Table(
        {
            "instant": no_input(range(1, n + 1)),
            "dteday": date(dates, "%Y-%m-%d"),
            "season": whole(month % 12 // 3 + 1),
            "yr": whole(dates.astype("datetime64[Y]").astype(int) - 41),
            "mnth": whole(month),
            "holiday": whole(random.random(n) < 0.03),
            "weathersit": whole(picked(random, [1, 2, 3], n)),
            "temp": number(temperature, "{:.6f}"),
            "hum": number(random.uniform(0.3, 0.95, n).round(6), "{:.6f}"),
            "casual": whole(casual),
            "registered": whole(registered),
            "cnt": whole(casual + registered),
        },
        "cnt",
        warned=[("'instant'", "left out"), ("'casual'", "'registered'", "'cnt'", "data.drop")],
    )


TABLES = (titanic, bank_churners, hotel_bookings, bike_sharing)
