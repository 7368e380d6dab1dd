"""Predicts new rows with a trained model: those of CSV or Parquet files, or a folder of images.

Columns may stand in any order; gaps and unknown categories are dealt with as in training, what cannot be read counts as
missing, and all of it is told.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from wellfit.commands.cli import Command, yes_or_no
from wellfit.data.readers.csv_shape import SEPARATORS
from wellfit.settings.params import PARAMS_FILE, load_params


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--input", required=True, type=Path, metavar="PATH", help="the file, or a folder of files or images"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="CSV",
        default="predictions.csv",
        help="to make, with its folder; default: %(default)s",
    )
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="default: models/<data.name>, by params.yaml")
    parser.add_argument("--proba", **yes_or_no("also the probability of each class"))
    parser.add_argument("--interval", **yes_or_no("also the interval of each number, or the set of classes"))
    parser.add_argument("--formulas", **yes_or_no("leave text alone that a spreadsheet would take for a formula"))
    parser.add_argument(
        "--separator", choices=SEPARATORS, help="between the cells of a CSV file; default: that of the training file"
    )
    parser.add_argument(
        "--bad-files",
        "--bad_files",
        choices=("refuse", "skip"),
        default="refuse",
        help="images that cannot be read; default: %(default)s",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="where the model computes, in fp32: auto is the first there is of cuda, mps, cpu; default: %(default)s",
    )
    parser.add_argument("--check", **yes_or_no("compare the rows with the training rows: have they changed?"))
    parser.add_argument(
        "--fail-on-drift",
        "--fail_on_drift",  # as `mlflow run -P fail_on_drift=true` has it
        **yes_or_no("check, and end with status 3 where a column or the predictions moved much"),
    )


def _predict(args: Namespace) -> None:
    from wellfit.stages.predict import Options, predict

    model = args.model or Path("models", load_params(PARAMS_FILE).data.name)
    predict(
        Options(
            input=args.input,
            output=args.output,
            model=model,
            proba=args.proba,
            interval=args.interval,
            formulas=args.formulas,
            check=args.check or args.fail_on_drift,
            fail_on_drift=args.fail_on_drift,
            skips_bad_files=args.bad_files == "skip",
            separator=args.separator,
            device=args.device,
        )
    )


COMMAND = Command(_add_options, _predict)
