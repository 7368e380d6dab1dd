"""Shows the runs in MLflow's pages, on this machine alone, until Ctrl-C."""

import os
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from wellfit.commands.cli import Command
from wellfit.errors import WellfitError
from wellfit.files import project_root
from wellfit.settings.params import PARAMS_FILE

HOST = "127.0.0.1"
# Jobs would let whoever reaches the server run code; the warnings are MLflow's own, of its libraries.
VARIABLES = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=_port, default=5000, help="default: %(default)s")


def _port(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 2**16:
        return int(text)
    raise ArgumentTypeError(f"must be a whole number from 1 to {2**16 - 1}, got {text}")


def _ui(args: Namespace) -> None:
    from wellfit.tracking import open_store, shown_store_uri, store_uri

    uri, root = store_uri(), project_root()
    if uri.startswith(("http://", "https://")):
        print(f"the runs are on a server (MLFLOW_TRACKING_URI): {shown_store_uri()}")
        return
    if not any((root / name).exists() for name in (PARAMS_FILE, "mlflow.db")):
        raise WellfitError(f"neither {PARAMS_FILE} nor mlflow.db is in {root}: run this from the project's root")
    _check_free(args.port)
    if not (root / "mlflow.db").exists():
        open_store()
    print(
        f"The runs: http://{HOST}:{args.port}/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=runs",
        flush=True,
    )
    # In the place of this process, so that Ctrl-C and whoever started it reach the server.
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(args.port)]
    # Not as an option, where all users of the machine could read a password in it.
    os.execve(sys.executable, command, os.environ | VARIABLES | {"MLFLOW_BACKEND_STORE_URI": uri})


def _check_free(port: int) -> None:
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise WellfitError(f"port {port} of {HOST} cannot be had: {error}; --port names another") from None


COMMAND = Command(_add_options, _ui)
