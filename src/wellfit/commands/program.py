"""The program ``wellfit``: its commands, and what it says of them."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import wellfit
from wellfit.commands.cli import Parser, did_you_mean, run_command
from wellfit.commands.process import guarded, leave

SHELLS = ("bash", "zsh", "tcsh")
# What each command does, in a line. The name is that of its module in this folder.
COMMANDS = {
    "The pipeline, in the folder that has params.yaml:": {
        "fetch": "get the raw data of data.name, verified",
        "preprocess": "split them, and encode what the training rows have",
        "features": "get pretrained weights, and what a frozen network makes of images",
        "tune": "search for the best values of what tune.space names",
        "train": "train a model with those values",
        "baseline": "fit models of scikit-learn to the same rows",
        "evaluate": "score them on the test rows, and pack the model into models/",
        "worker": "train trials of a study that other machines share",
        "run": "all of these, or one, with DVC, as one MLflow run",
    },
    "The model:": {
        "predict": "predict the rows of a file, or a folder of images",
        "export": "write it as ONNX, or for torch.export.load, to run without wellfit",
        "register": "make it a version in MLflow's registry",
    },
    "To look at:": {
        "ui": "the runs, in MLflow's pages",
        "lr_find": "which learning rates are worth trying",
        "preview": "training images before and after augmentation",
    },
    "Comparisons over seeds:": {
        "download": "fetch a data set for them",
        "compare": "train the variants of one, and tell what they differ in",
    },
}
NAMES = [name for group in COMMANDS.values() for name in group]


def main() -> NoReturn:
    """What ``wellfit`` does as a program; ends the process."""
    leave(lambda: run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Runs a command, or says what there is, and returns the exit status.

    Args:
        argv: the command line without the program's name.
    """
    if argv and argv[0] in NAMES:
        return run_command(argv[0], argv[1:], f"wellfit {argv[0]}")
    parser = make_parser()
    if argv and not argv[0].startswith("-"):
        parser.hint = did_you_mean(argv[0], NAMES) or "--help lists the commands"
        parser.error(f"there is no command {argv[0]}")
    args = parser.parse_args(argv)
    if args.print_completion:
        return guarded("wellfit", lambda: _print_completion(args.print_completion), debug=False)
    parser.print_help()
    return 0


def make_parser() -> Parser:
    """The parser of what is no command."""
    description, more = f"{wellfit.__doc__}\n\n{_listed()}", "wellfit COMMAND --help says more."
    parser = Parser("wellfit", usage="wellfit COMMAND ...", description=description, epilog=more)
    version = f"wellfit {wellfit.__version__}"
    parser.add_argument("--version", action="version", version=version, help="print the version")
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        metavar="SHELL",
        help="print a script that completes the command line; for bash: source <(wellfit --print-completion bash)",
    )
    return parser


def _print_completion(shell: str) -> None:
    from wellfit.commands.completion import completion

    print(completion(shell))


def _listed() -> str:
    width = max(map(len, NAMES))
    groups = (
        "\n".join([title, *(f"  {name:{width}}  {does}" for name, does in commands.items())])
        for title, commands in COMMANDS.items()
    )
    return "\n\n".join(groups)
