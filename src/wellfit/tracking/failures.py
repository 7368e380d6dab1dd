"""What MLflow says when it does not take something, in one line."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from wellfit.errors import WellfitError, shortened, without_secrets
from wellfit.tracking.address import VARIABLE, shown_store_uri
from wellfit.tracking.damage import damage_of
from wellfit.tracking.outage import chain, is_outage

# Codes of what MLflow will not take the next time either.
REFUSALS = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST")


class TrackingError(WellfitError):
    """MLflow did not take something.

    Attributes:
        is_refusal: whether it will not take it the next time either.
        is_outage: whether it cannot be reached for now.
    """

    def __init__(self, message: str, *, is_refusal: bool, is_outage: bool) -> None:
        super().__init__(message)
        self.is_refusal = is_refusal
        self.is_outage = is_outage


@contextmanager
def unreachable_in_one_line() -> Iterator[None]:
    """Turns an error of MLflow into one line that names the store."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        named = f" (set by {VARIABLE}; unset it to use mlflow.db)" if VARIABLE in os.environ else ""
        away = is_outage(error)
        fault = without_secrets(_first_cause(error) if away else first_line(error))
        what = "cannot be reached" if away else "did not take the run"
        message = f"MLflow at {shown_store_uri()} {what}: {fault}{named}"
        if damage := damage_of(error):
            message = (
                f"{shown_store_uri()}, MLflow's store, is damaged ({damage}): move the file away and run this again; "
                "`dvc repro --force tune` then sends the trials of .wellfit/records to the new one"
            )
        is_refusal = isinstance(error, MlflowException) and error.error_code in REFUSALS
        raise TrackingError(message, is_refusal=is_refusal, is_outage=away) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message; MLflow's have many."""
    return shortened(str(error).strip().split("\n")[0])


def _first_cause(error: BaseException) -> str:
    """What all others were raised for: `Connection refused`, `timed out`. Some of them say nothing."""
    said = [first_line(getattr(each, "orig", None) or each) for each in chain(error)]
    return next((each for each in reversed(said) if each), type(error).__name__)
