"""Whether MLflow is away for now, which is known within seconds: its own client tries for minutes."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator

from wellfit.tracking.address import store_file, store_uri

CONNECT_SECONDS = 5
# What a database says that was reached and lets nobody in, unless it is about to come back.
REFUSED = re.compile(r"FATAL|authentication|no password supplied|[Aa]ccess denied|[Uu]nknown database|support SSL")
COMES_BACK = re.compile(r"start(ing)? ?up|shutting down|terminating connection|recovery|too many|connection slots")


def settle_patience() -> None:
    """Sets how long MLflow's own requests and connections may take, where the user has not."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_SECONDS))


def check_answers() -> None:
    """Sees whether a server or a database answers at all, however slowly.

    Raises:
        OSError: a server does not.
        SQLAlchemyError: a database does not, or lets nobody in.
    """
    uri = store_uri()
    if uri.startswith(("http://", "https://")):
        import requests

        answer_seconds = float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
        try:
            requests.get(f"{uri.rstrip('/')}/health", timeout=(CONNECT_SECONDS, answer_seconds)).close()
        except (requests.exceptions.SSLError, ValueError):
            return  # it answers, and MLflow may be told to trust it; or MLflow refuses the address in its own words
    elif "://" in uri and store_file() is None and not uri.startswith(("sqlite", "file:", "databricks")):
        from sqlalchemy import NullPool, create_engine

        engine = create_engine(uri, poolclass=NullPool)
        engine.connect().close()


def is_outage(error: BaseException) -> bool:
    """Whether an error says that MLflow, or the database behind it, cannot be reached for now.

    A wrong password, a wrong address that answers, or tables of another version will not mend themselves.
    """
    from requests.exceptions import RequestException, SSLError
    from sqlalchemy.exc import InterfaceError, OperationalError

    for each in chain(error):
        if isinstance(each, RequestException):
            return not isinstance(each, ValueError | SSLError)  # a ValueError is of an address
        if isinstance(each, OperationalError | InterfaceError):
            if isinstance(each.orig, sqlite3.Error):
                return each.orig.sqlite_errorcode == sqlite3.SQLITE_BUSY
            said = str(each.orig)
            return not REFUSED.search(said) or bool(COMES_BACK.search(said))
    return False


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, or while handling which."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__
