"""Registers the model in MLflow as a version of wellfit-<data set>: the champion, unless it is clearly worse than that.

--force makes it the champion in any case. It is no stage of `dvc repro`: a registry is shared, and not every run is a
release.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from wellfit.commands.cli import Command, yes_or_no
from wellfit.settings.params import PARAMS_FILE, load_params


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--force", **yes_or_no("make it the champion whatever the comparison says"))


def _register(args: Namespace) -> None:
    from wellfit.stages.register import register

    register(load_params(PARAMS_FILE), Path("data"), Path("models"), force=args.force)


COMMAND = Command(_add_options, _register)
