import pyarrow as pa
import pytest

from wellfit.data.readers.swallowed_rows import SwallowedRows, find_swallowed_rows


def find(**columns: list[str]) -> SwallowedRows | None:
    return find_swallowed_rows(pa.record_batch(columns), ",")


NUMBERS, CLASSES = [str(i / 4) for i in range(20)], ["0", "1"] * 10


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        (0, "12 inch,0.5,1\npart 1,0.25,0\npart 2,,1\n5 inch"),
        (1, "12 inch,1\n0.75,part 1,0\n0.5,5 inch"),
        (1, "12 inch,1\n0.75,5 inch"),
        (2, "12 inch\n0.75,1,part 1\n0.5,0,5 inch"),
    ],
)
def test_rows_in_a_cell_are_found_in_each_column(place: int, cell: str) -> None:
    parts = [f"part {i}" for i in range(20)]
    parts[7] = cell
    columns = [NUMBERS, CLASSES]
    columns.insert(place, parts)
    assert find(**dict(zip("abc", columns, strict=True))) == (7, cell.count("\n"))


def test_the_first_of_all_columns_is_named() -> None:
    swallowed = "x,0.5\ny,0.75\nz"
    late, early = [f"p{i}" for i in range(20)], NUMBERS[:]
    late[9] = swallowed
    early[3] = "0.5\ny,0.75\nz,0.25\nw,1"
    assert find(a=late, b=early) == (3, 3)


@pytest.mark.parametrize(
    "text",
    [
        "Great film,\nreally, I loved it,\nand 5 stars, yes",
        "No, no,\n1,bad,7\nnever",
        "12 Main St\nSpringfield, IL",
        "a,b\n\nc,d,e\nf",
        "one\ntwo\nthree",
        "1, milk\n2, eggs\n3, bread",
        "two things\n2, eggs",
    ],
)
def test_free_text_has_line_breaks_and_separators_too(text: str) -> None:
    texts = [f"{text} {i}" for i in range(20)]
    assert find(id=NUMBERS, text=texts, y=CLASSES) is None
    assert find(text=texts, y=CLASSES) is None
    assert find(id=NUMBERS, text=texts) is None
    assert find(who=[f"n{i}" for i in range(20)], text=texts) is None
    assert find(text=texts) is None


def test_where_all_columns_are_text_the_number_of_cells_tells() -> None:
    names, notes = [f"n{i}" for i in range(20)], [f"t{i}" for i in range(20)]
    parts = [f"p{i}" for i in range(20)]
    parts[5] = "12 inch,n1,t1\np2,n2,t2\np3,n3,t3\n5 inch"
    assert find(part=parts, name=names, note=notes) == (5, 3)
    parts[5] = "12 inch,n1,t1\np2,n2\np3,n3,t3\n5 inch"
    assert find(part=parts, name=names, note=notes) is None
