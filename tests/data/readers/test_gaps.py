import pyarrow as pa
import pytest

from wellfit.data.readers.gaps import find_gaps, gaps_in_words


@pytest.mark.parametrize(
    "word",
    [
        *("-", "--", ".", "#N/A", "#NA", "N.A.", "None", "none", "n/a", "<NA>", "NaT", "unknown", "Not Available"),
        *("#DIV/0!", "#VALUE!", "NULL", "nil", "", "  ", " - ", "(blank)", "\\N", "0000-00-00", "missing"),
    ],
)
def test_words_for_missing_values(word: str) -> None:
    assert find_gaps(pa.array(["1", word, "nothing", "0", "pending"])) == [word]


def test_what_is_told_of_them() -> None:
    assert gaps_in_words({}) == ""
    assert gaps_in_words({"-": 1}) == "'-' in 1 cell counts as missing"
    assert gaps_in_words({"-": 1_200}) == "'-' in 1,200 cells counts as missing"
    assert gaps_in_words({"-": 2, "nil": 1}) == "'-' and 'nil' in 3 cells count as missing"
    many = dict.fromkeys(["-", "--", "na", "nil", "none", "null", "nat"], 1)
    assert gaps_in_words(many) == "'-', '--', 'na', 'nil', 'none' and 2 others in 7 cells count as missing"
