"""What a command is, how its options are read, and how it is called."""

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from wellfit.commands.process import guarded, leave, only_one
from wellfit.errors import WellfitError
from wellfit.settings.params import PARAMS_FILE, Params, load_params
from wellfit.torchrun import check_alone, is_follower

# `mlflow run . -P lr=0.003` arrives as `--lr 0.003`, and -P optim.lr=0.003 as `--optim.lr 0.003`.
SHORT_NAMES = {
    "dataset": "data.name",
    "model": "model.name",
    "dropout": "model.dropout",
    "optimizer": "optim.name",
    "lr": "optim.lr",
    "weight_decay": "optim.weight_decay",
    "scheduler": "schedule.name",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "seed": "train.seed",
    "tune": "tune.enabled",
    "n_trials": "tune.n_trials",
}

T = TypeVar("T")


class Command(NamedTuple):
    """What stands behind a name; `of_params` and `of_file` make the usual ones.

    Attributes:
        add_options: adds the options to a parser, which has ``--debug``.
        work: does it, given what was parsed.
        details: what ``--help`` says below the options, given the command's name.
        takes_keys: whether any key of ``params.yaml`` is an option, too.
        by_torchrun: whether several processes may do it together.
    """

    add_options: Callable[[argparse.ArgumentParser], None]
    work: Callable[[argparse.Namespace], None]
    details: Callable[[str], str] | None = None
    takes_keys: bool = False
    by_torchrun: bool = False


def of_params(
    stage: Callable[[Params], None],
    reads: Sequence[str] | None = None,
    *,
    alone: bool = True,
    by_torchrun: bool = False,
) -> Command:
    """A command that reads ``params.yaml``; its options set other values for once.

    Args:
        stage: is given the validated params.
        reads: the sections that it reads, for ``--help``; None: those that dvc.yaml lists for the stage of that name.
        alone: whether it may run only once at a time in a folder.
        by_torchrun: whether several processes of torchrun may do it together.
    """

    def work(args: argparse.Namespace) -> None:
        params = load_params(PARAMS_FILE, _overrides(args))
        if is_follower():  # of the process that has the lock, and that speaks
            with redirect_stdout(StringIO()):
                stage(params)
            return
        with only_one(args.command) if alone else nullcontext():
            stage(params)

    return Command(_add_settings, work, lambda name: _sections_read_by(name, reads), True, by_torchrun)


def of_file(
    stage: Callable[[T], None],
    load: Callable[[str, Sequence[str]], T],
    titles: Callable[[], Mapping[str, str]],
    default: str | None = None,
) -> Command:
    """A command that reads one of several things, by ``--name``, as a file in place of ``params.yaml``.

    Args:
        stage: is given what was loaded.
        load: reads it, given its name and ``KEY=VALUE`` texts.
        titles: of all there are, by name, for ``--help``.
        default: the name that is meant where none is given; None: one must be given.
    """

    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--name", required=default is None, default=default, help="one of those listed below")
        _add_settings(parser)

    def work(args: argparse.Namespace) -> None:
        read = load(args.name, _overrides(args))
        with only_one(f"{args.command} {args.name}"):
            stage(read)

    return Command(add_options, work, lambda name: _listed(titles()), takes_keys=True)


def run_script(name: str) -> NoReturn:
    """Runs a command as the script ``pipelines/NAME.py``, and ends the process."""
    leave(lambda: run_command(name, sys.argv[1:], f"python pipelines/{name}.py"))


def run_command(name: str, argv: Sequence[str], program: str) -> int:
    """Runs the command of a module of this folder.

    Args:
        name: of the module.
        argv: the command line behind the name.
        program: what stands before ``argv``, for ``--help``.

    Returns:
        The exit status: 0, or non-zero after one line on standard error.
    """
    status = 0

    def work() -> None:
        nonlocal status
        module = import_module(f"wellfit.commands.{name}")  # it may lack a package
        status = call(module.COMMAND, module.__doc__, argv, program)

    return guarded(name, work, debug="--debug" in argv) or status


def call(command: Command, description: str | None, argv: Sequence[str], program: str) -> int:
    """What :func:`run_command` does, with the command itself.

    Args:
        command: what to run.
        description: for ``--help``.
        argv: the command line behind the name.
        program: what stands before ``argv``; its last word names the command.
    """
    parser = Parser(program, description=description)
    add_options(parser, command)
    arguments = _with_keys_as_set(argv) if command.takes_keys else list(argv)
    if command.details and {"-h", "--help"} & set(arguments):
        with suppress(WellfitError):  # help does without
            parser.epilog = command.details(parser.name)
    args = parser.parse_args(arguments)

    def work() -> None:
        if not command.by_torchrun:
            check_alone(parser.name)
        command.work(args)

    return guarded(parser.name, work, debug=args.debug)


def yes_or_no(help_text: str) -> dict[str, Any]:
    """An option that is given as ``--proba``, or with a value, as ``mlflow run -P proba=true`` does."""
    words = {"true": True, "false": False, "": False}

    def parse(text: str) -> bool:
        if (value := words.get(text.casefold())) is None:
            raise argparse.ArgumentTypeError(f"must be true or false, got {text}")
        return value

    return {"nargs": "?", "type": parse, "const": True, "default": False, "metavar": "true|false", "help": help_text}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line.

    Attributes:
        hint: what to do then, where nothing better is known.
    """

    def __init__(self, prog: str, **settings: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, formatter_class=formatter, allow_abbrev=False, **settings)
        self.hint = "--help lists the options"

    @property
    def name(self) -> str:
        """The command: ``train`` of ``wellfit train`` and of ``python pipelines/train.py``."""
        return Path(self.prog.split()[-1]).stem

    def error(self, message: str) -> NoReturn:
        hint = self.hint
        if found := re.search(r"unrecognized arguments: --([^\s=]+)", message):
            options = [name.removeprefix("--") for name in self._option_string_actions if name.startswith("--")]
            hint = did_you_mean(found[1], options, "--") or hint
        self.exit(2, f"{self.name}: {message}; {hint}\n")


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """A question that names what is most like an unknown word; empty if nothing is."""
    meant = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {prefix}{meant[0]}?" if meant else ""


def add_options(parser: Parser, command: Command) -> None:
    """Makes a parser that of a command."""
    command.add_options(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(command=parser.name)
    if command.takes_keys:
        parser.hint += ", and any key of params.yaml is one: --optim.lr 0.01"


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="use VALUE for KEY, an empty one leaves that of params.yaml; may be given many times",
    )
    for name, key in SHORT_NAMES.items():
        parser.add_argument(f"--{name}", metavar="VALUE", help=f"short for --set {key}=VALUE")


def _overrides(args: argparse.Namespace) -> list[str]:
    """``KEY=VALUE`` of all options that `_add_settings` added."""
    short = [f"{key}={value}" for name, key in SHORT_NAMES.items() if (value := getattr(args, name))]
    return [*args.set, *short]


def _with_keys_as_set(argv: Sequence[str]) -> list[str]:
    """``--optim.lr 0.1`` and ``--optim.lr=0.1`` become ``--set optim.lr=0.1``."""
    arguments: list[str] = []
    given = iter(argv)
    for argument in given:
        key, equals, value = argument.removeprefix("--").partition("=")
        is_key = argument.startswith("--") and "." in key
        text = next(given, None) if is_key and not equals else value
        # Where a key has no value, argparse will say so.
        arguments += ["--set", f"{key}={text}"] if is_key and text is not None else [argument]
    return arguments


def _listed(titles: Mapping[str, str]) -> str:
    width = max(map(len, titles), default=0)
    return "what NAME can be:\n\n" + "\n".join(f"  {name:{width}}  {title}" for name, title in titles.items())


def _sections_read_by(name: str, listed: Sequence[str] | None) -> str:
    """The parts of ``params.yaml`` that a command reads, comments included; None: those of its stage in dvc.yaml."""
    try:
        if listed is None:
            listed = YAML(typ="safe", pure=True).load(Path("dvc.yaml"))["stages"][name]["params"]
        text = Path(PARAMS_FILE).read_text(encoding="utf-8")
    except (OSError, KeyError, TypeError, ValueError, YAMLError):  # help does without
        return ""
    wanted = {str(key).split(".")[0] for key in listed}
    blocks = [block for block in text.split("\n\n") if block.lstrip().split(":")[0] in wanted]
    return f"what it reads in {PARAMS_FILE}, as it stands there:\n\n" + "\n\n".join(blocks)
