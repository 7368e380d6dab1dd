import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from wellfit.data.readers.codes import are_days, code_with_zero, number_the_rows

SHUFFLED = np.random.default_rng(0).permutation(40)
GAPPED = np.cumsum(1 + np.arange(40) % 3)


@pytest.mark.parametrize(
    ("name", "cells", "told"),
    [
        ("x", np.arange(40), "counts the rows, from 0 to 39"),
        ("x", SHUFFLED + 7, "counts the rows, from 7 to 46"),
        ("record_id", GAPPED, "names the rows, with 40 different whole numbers in 40 rows"),
        ("CustomerId", GAPPED, "names the rows"),
        ("ID", GAPPED, "names the rows"),
        ("CLIENTNUM", GAPPED, "names the rows"),
        ("Invoice No", GAPPED, "names the rows"),
        ("Unnamed: 0", GAPPED, "names the rows"),
        ("id", np.append(GAPPED[:-1], GAPPED[0]), "names the rows, with 39 different whole numbers in 40 rows"),
        ("id", np.arange(9), "counts the rows, from 0 to 8"),
        ("x", np.arange(9), ""),
        ("population", GAPPED, ""),
        ("humid", GAPPED, ""),
        ("invoice_no", np.append(GAPPED[:-1], GAPPED[0]), ""),
        ("patient_id", np.arange(40) % 20, ""),
        ("id", np.arange(40) + 0.5, ""),
        ("id", np.append(np.arange(39.0), np.nan), ""),
        ("year", 1960 + np.arange(40), ""),
        ("timestamp", 1_500_000_000 + np.arange(40), ""),
    ],
)
def test_columns_that_number_the_rows(name: str, cells: np.ndarray, told: str) -> None:
    found = number_the_rows(pd.Series(cells.astype(float), name=name))
    assert found.startswith(told)
    assert bool(found) == bool(told)


def test_whole_numbers_that_are_days() -> None:
    june = [20140601 + i for i in range(20)]
    assert are_days("c", pa.array(june))
    assert are_days("c", pa.array(map(str, june)))
    assert not are_days("c", pa.array([*june, 20140631]))
    assert not are_days("c", pa.array(june[:3]))
    for name in ("date", "SaleDate", "dteday", "sold_dt"):
        assert are_days(name, pa.array(june[:3]))
    assert not are_days("update", pa.array(june[:3]))
    assert not are_days("date", pa.array([], pa.int64()))


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (["01234", "98765", "43210"], "01234"),
        (["98765", "00501", "43210", "12345"], "00501"),
        (["98765", "43210"], ""),
        (["0123", "98765", "43210"], ""),
        (["01234", "98.65", "43210"], ""),
        (["001", "002", "010"], ""),
        (["0", "1", "2"], ""),
        (["01", "11", "12"], ""),
    ],
)
def test_codes_begin_with_a_zero_now_and_then(cells: list[str], code: str) -> None:
    assert code_with_zero(pa.chunked_array([cells])) == code
