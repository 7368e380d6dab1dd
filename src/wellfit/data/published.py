"""Files as their publishers have made them, as arrays and tables."""

from pathlib import Path

import numpy as np

from wellfit.data.catalog import CATALOG
from wellfit.data.columns import Reader
from wellfit.data.config import DataConfig
from wellfit.data.raw import RawData, published_splits
from wellfit.data.tables import read_csv

# https://archive.ics.uci.edu/dataset/2/adult
ADULT_COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
)
# Pace and Barry 1997, with the names that scikit-learn gives them.
CALIFORNIA_COLUMNS = (
    "Longitude",
    "Latitude",
    "HouseAge",
    "TotalRooms",
    "TotalBedrooms",
    "Population",
    "Households",
    "MedInc",
    "MedianHouseValue",
)


def read_adult(folder: Path, data: DataConfig) -> RawData:
    """Adult: 32,561 training and 16,281 test rows of 14 columns, ``?`` where one is missing.

    Args:
        folder: holds ``adult.data``, and ``adult.test``, which begins with a line that is no row and ends its labels
            with a full stop.
        data: the section ``data``, for the texts that stand for missing values.
    """
    import pandas as pd
    import pyarrow as pa

    files = {"adult.data": 0, "adult.test": 1}  # and the lines before the first row
    parts = [read_csv(folder / name, ",", [*ADULT_COLUMNS, "income"], skip_rows) for name, skip_rows in files.items()]
    table = pa.concat_tables(parts)
    reader = Reader(data, folder)
    features = pd.DataFrame({name: reader.feature(table.column(name), name) for name in ADULT_COLUMNS})
    labels = table.column("income").to_pandas().str.removesuffix(".")
    entry = CATALOG["adult"]
    y = pd.Categorical(labels, categories=list(entry.class_names)).codes.astype(np.int64)
    splits = published_splits(len(parts[0]), len(parts[1]))
    return RawData(features, y, entry.class_names, entry.target_name, splits)


def read_california(folder: Path, data: DataConfig) -> RawData:
    """California housing: 20,640 districts of the 1990 census, with the eight features of
    ``sklearn.datasets.fetch_california_housing`` and its target, the median house value in 100,000 US dollars.

    Args:
        folder: holds ``cal_housing.data``, nine columns without a header.
        data: the section ``data``.
    """
    import pandas as pd

    path = folder / "cal_housing.data"
    table = read_csv(path, ",", CALIFORNIA_COLUMNS)
    reader = Reader(data, path, first_row=1)
    raw = {name: reader.numbers(table.column(name), name) for name in CALIFORNIA_COLUMNS}
    features = {
        "MedInc": raw["MedInc"],
        "HouseAge": raw["HouseAge"],
        "AveRooms": raw["TotalRooms"] / raw["Households"],
        "AveBedrms": raw["TotalBedrooms"] / raw["Households"],
        "Population": raw["Population"],
        "AveOccup": raw["Population"] / raw["Households"],
        "Latitude": raw["Latitude"],
        "Longitude": raw["Longitude"],
    }
    target = (raw["MedianHouseValue"] / 100_000).astype(np.float32)
    return RawData(pd.DataFrame(features), target, (), CATALOG["california_housing"].target_name)
