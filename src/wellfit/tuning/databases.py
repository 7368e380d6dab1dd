"""The databases that studies are kept in: their addresses and drivers, and how they are opened."""

import os
import sqlite3
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage, get_storage

from wellfit.errors import WellfitError, one_line, without_secrets
from wellfit.files import project_root
from wellfit.settings.params import PARAMS_FILE

GRPC = "grpc://"
DEADLINE_SECONDS = 60.0  # of a call of the proxy
DRIVERS = {"postgresql": "postgresql+psycopg"}  # SQLAlchemy 2.0 means psycopg2 where none is named
PROXY_OUTAGES = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN", "INTERNAL")
EXTRAS = {"psycopg": "postgresql"}  # of pyproject.toml


def open_database(address: str) -> BaseStorage:
    """Opens the database, or the proxy of one, that an address names.

    Args:
        address: ``tune.storage``, a URL of SQLAlchemy or ``grpc://host:port``.

    Raises:
        WellfitError: its driver is not installed, it is MLflow's, or it is kept in memory only.
    """
    if address.startswith(GRPC):
        return _open_proxy(address)
    from sqlalchemy.engine import make_url

    url = make_url(address)
    options: dict[str, Any] = {"pool_pre_ping": True}  # else the first call after a server's restart fails
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": 60}
        if url.database in (None, "", ":memory:"):
            raise WellfitError(f"tune.storage {address} is kept in memory only: name a file ({PARAMS_FILE})")
        # From the project's root, wherever a stage runs.
        url = url.set(database=str(project_root() / str(url.database)))
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    try:
        url.get_dialect().import_dbapi()
    except ImportError as error:
        package = error.name or url.get_driver_name()
        name = f"'wellfit[{EXTRAS[package]}]'" if package in EXTRAS else package
        raise WellfitError(
            f"tune.storage {without_secrets(address)} needs the package {package}: pip install {name}, or uv pip "
            f"install {name}"
        ) from None
    text = url.render_as_string(hide_password=False)
    _refuse_mlflow(text, address)
    return get_storage(RDBStorage(text, engine_kwargs=options))


def said_by(error: BaseException) -> str:
    """What a database, or its proxy, says of an error, in one line and in its own words."""
    *_, first = causes(error)
    details = getattr(first, "details", None)
    return without_secrets(one_line(Exception(details()) if callable(details) else first))  # type: ignore[arg-type]


def is_outage(error: BaseException) -> bool:
    """Whether an error says that a database cannot be reached for now."""
    import grpc
    from sqlalchemy.exc import InterfaceError, OperationalError

    for each in causes(error):
        if isinstance(each, OperationalError | InterfaceError):
            # An SQLite file is there or is not, and may be in use.
            return not isinstance(each.orig, sqlite3.Error) or _sqlite_name(each) == "SQLITE_BUSY"
        if isinstance(each, grpc.RpcError):  # also of a proxy whose database is away
            return each.code().name in PROXY_OUTAGES
    return False


def is_collision(error: BaseException) -> bool:
    """Whether an error may come from another process that makes the tables of the same database."""
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    return any(
        isinstance(each, IntegrityError | ProgrammingError)
        or (isinstance(each, OperationalError) and _sqlite_name(each) == "SQLITE_ERROR")
        for each in causes(error)
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on, up to what the driver raised."""
    each: BaseException | None = error
    while each is not None:
        yield each
        if getattr(each, "orig", None) is not None:
            return
        each = each.__cause__


def _sqlite_name(error: Any) -> str:
    return str(getattr(error.orig, "sqlite_errorname", ""))


def _open_proxy(address: str) -> BaseStorage:
    """Optuna's own client of its gRPC proxy."""
    host, _, port = address.removeprefix(GRPC).rpartition(":")
    if not host or not port.isdecimal():
        raise WellfitError(f"tune.storage must be grpc://host:port, got {address} ({PARAMS_FILE})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        proxy = GrpcStorageProxy(host=host, port=int(port))
    for name, call in vars(proxy._stub).items():  # Optuna sets no deadline: a proxy that hangs would hold us for ever
        setattr(proxy._stub, name, partial(call, timeout=DEADLINE_SECONDS))
    return proxy


def _refuse_mlflow(url: str, said: str) -> None:
    """Optuna and MLflow both keep the version of their tables in one of the same name."""
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.engine import make_url

    own = make_url(url)
    trackers = {f"sqlite:///{project_root() / 'mlflow.db'}", os.environ.get("MLFLOW_TRACKING_URI", "")}
    is_mlflow = bool({url, said} & trackers)
    if not is_mlflow and (own.get_backend_name() != "sqlite" or Path(str(own.database)).exists()):
        engine = create_engine(url)
        is_mlflow = {"experiments", "runs"} <= set(inspect(engine).get_table_names())
        engine.dispose()
    if is_mlflow:
        raise WellfitError(
            f"tune.storage {without_secrets(said)} is MLflow's database; name another, such as sqlite:///studies.db "
            f"({PARAMS_FILE})"
        )
