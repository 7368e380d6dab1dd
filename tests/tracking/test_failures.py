"""What MLflow's errors become."""

import pytest
from requests.exceptions import ConnectionError as NoConnection

from wellfit.tracking.failures import TrackingError, unreachable_in_one_line


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [("refused", "no route", "refused"), ("", "no route", "no route"), ("", "", "ConnectionError")],
)
def test_an_outage_is_told_in_the_words_of_the_first_that_has_some(first: str, second: str, told: str) -> None:
    with pytest.raises(TrackingError, match=f"cannot be reached: {told}") as raised, unreachable_in_one_line():
        raise NoConnection(second) from TimeoutError(first)
    assert raised.value.is_outage
