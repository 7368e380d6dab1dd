"""What all pipeline scripts share: options, the lock, signals and errors in one line."""

import argparse
import ctypes
import difflib
import gc
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from filelock import FileLock, Timeout
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from wellfit.errors import WellfitError
from wellfit.interruptions import interruption_behind
from wellfit.settings.params import PARAMS_FILE, load_params

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
# What scripts read that are no stages of dvc.yaml, which lists it for those.
SECTIONS_OF_SCRIPTS = {
    "lr_find": ("data", "model", "loss", "regularize", "optim", "train", "lr_find"),
    "preview": ("data", "train"),
}
PR_SET_PDEATHSIG = 1  # linux/prctl.h

T = TypeVar("T")


class Named(NamedTuple, Generic[T]):
    """What a script reads in place of ``params.yaml``: one of several files, by ``--name``.

    Attributes:
        load: reads it, given the name and ``KEY=VALUE`` texts.
        titles: of all there are, by name, for ``--help``.
        default: the name that is meant where none is given; None: one must be given.
    """

    load: Callable[[str, Sequence[str]], T]
    titles: Callable[[], Mapping[str, str]]
    default: str | None = None


def run_stage(main: Callable[[T], None], description: str | None, named: Named[T] | None = None) -> NoReturn:
    """Runs a pipeline script and ends the process: status 0, or non-zero with one line on standard error.

    Args:
        main: the stage, given the validated params, or what ``named`` has loaded.
        description: for ``--help``; the script's docstring.
        named: what the script reads; None: ``params.yaml``.
    """
    leave(lambda: call_stage(main, description, sys.argv[1:], named))


def leave(call: Callable[[], int]) -> NoReturn:
    """Ends the process with the exit status that a call returns."""
    # Importing torch and mlflow makes a million objects that live as long as the process. Searching them for garbage
    # over and over, and freeing them one by one at the end, took 3 of the 14 seconds of the train stage on digits.
    gc.set_threshold(100_000)
    # Threads of torch that wait for each other shall sleep, not spin: beside another busy process they would burn the
    # time that the one they wait for needs, and a pack trained 2 to 10 times as slowly.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    status = call()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # whoever read it has gone
        status = status or 1
    os._exit(status)


def call_stage(
    main: Callable[[T], None], description: str | None, argv: Sequence[str], named: Named[T] | None = None
) -> int:
    """What :func:`run_stage` does, up to the exit status.

    Args:
        main: the stage, given the validated params, or what ``named`` has loaded.
        description: for ``--help``.
        argv: the command line without the program's name.
        named: what the script reads; None: ``params.yaml``.
    """
    script = Path(sys.argv[0]).stem
    arguments = _with_keys_as_set(argv)
    is_help = bool({"-h", "--help"} & set(arguments))
    args = _parser(script, description, named, with_epilog=is_help).parse_args(arguments)
    overrides = args.set + [f"{key}={value}" for name, key in SHORT_NAMES.items() if (value := getattr(args, name))]

    def work() -> None:
        read: Any = named.load(args.name, overrides) if named else load_params(PARAMS_FILE, overrides)
        with _only_one(f"{script} {args.name}" if named else script):
            main(read)

    return guarded(script, work, debug=args.debug)


def guarded(script: str, work: Callable[[], None], *, debug: bool) -> int:
    """Does the work of a script, whose errors are one line on standard error, and returns the exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the shell has made it ignored
        signal.signal(signal.SIGINT, _interrupt)
    if {"DVC_STAGE", "MLFLOW_RUN_ID"} & set(os.environ):
        end_with_parent()
    try:
        work()
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exception(error)
        status, text = _explain(error)
        print(f"{script}: {' '.join(text.split())}", file=sys.stderr)
        return status
    return 0


def _explain(error: BaseException) -> tuple[int, str]:
    """Exit status and words for what ended a stage."""
    if interruption := interruption_behind(error):
        return (143 if interruption.args else 130), "interrupted"  # 128 + the number of SIGTERM, of SIGINT
    if isinstance(error, WellfitError | OSError):  # of a full disk or a missing right, the system's words say it all
        return 1, str(error)
    return 1, f"unexpected {type(error).__name__}: {error} (--debug shows where)"


def yes_or_no(help_text: str) -> dict[str, Any]:
    """An option that is given as ``--proba``, or with a value, as ``mlflow run -P proba=true`` does."""
    words = {"true": True, "false": False, "": False}

    def parse(text: str) -> bool:
        if (value := words.get(text.casefold())) is None:
            raise argparse.ArgumentTypeError(f"must be true or false, got {text}")
        return value

    return {"nargs": "?", "type": parse, "const": True, "default": False, "metavar": "true|false", "help": help_text}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    hint = "--help lists the options"

    def error(self, message: str) -> NoReturn:
        hint = self.hint
        if found := re.search(r"unrecognized arguments: --([^\s=]+)", message):
            options = [name.removeprefix("--") for name in self._option_string_actions if name.startswith("--")]
            meant = difflib.get_close_matches(found[1], options, n=1)
            hint = f"did you mean --{meant[0]}?" if meant else hint
        self.exit(2, f"{Path(sys.argv[0]).stem}: {message}; {hint}\n")


def _parser(
    script: str, description: str | None, named: Named[Any] | None, *, with_epilog: bool
) -> argparse.ArgumentParser:
    epilog = None
    if with_epilog:
        epilog = _listed(named.titles()) if named else _sections_read_by(script)
    parser = Parser(
        prog=f"python pipelines/{script}.py",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.hint += ", and any key of params.yaml is one: --optim.lr 0.01"
    if named:
        parser.add_argument(
            "--name", required=named.default is None, default=named.default, help="which one; they are listed below"
        )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="use VALUE for KEY, an empty one leaves that of params.yaml; may be given many times",
    )
    for name, key in SHORT_NAMES.items():
        parser.add_argument(f"--{name}", metavar="VALUE", help=f"short for --set {key}=VALUE")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


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


def _sections_read_by(script: str) -> str:
    """The parts of ``params.yaml`` that dvc.yaml lists for the script's stage, comments included."""
    try:
        listed = SECTIONS_OF_SCRIPTS.get(script)
        if listed is None:
            listed = YAML(typ="safe", pure=True).load(Path("dvc.yaml"))["stages"][script]["params"]
        text = Path(PARAMS_FILE).read_text(encoding="utf-8")
    except (OSError, KeyError, TypeError, ValueError, YAMLError):  # help does without
        return ""
    wanted = {str(key).split(".")[0] for key in listed}
    blocks = [block for block in text.split("\n\n") if block.lstrip().split(":")[0] in wanted]
    return f"what it reads in {PARAMS_FILE}, as it stands there:\n\n" + "\n\n".join(blocks)


@contextmanager
def _only_one(what: str) -> Iterator[None]:
    """Keeps a second run of the same stage in this folder from mixing its outputs with ours."""
    path = Path(".wellfit", "locks", f"{what.replace(' ', '-')}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise WellfitError(f"another {what} is running in {Path.cwd()}; wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    # `mlflow run` sends SIGTERM after Ctrl-C, and so does the kernel when the parent has died: it must not cut the
    # clean-up short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if signum == signal.SIGTERM:
        raise KeyboardInterrupt("SIGTERM")
    raise KeyboardInterrupt


def end_with_parent() -> None:
    """Makes the kernel send this process SIGTERM when its parent dies, as DVC and MLflow would not; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
