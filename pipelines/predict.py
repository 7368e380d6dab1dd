"""Predicts new rows with a trained model: those of a CSV or Parquet file, or a folder of images.

Columns may stand in any order; gaps and unknown categories are dealt with as in training, what cannot be read counts as
missing, and all of it is told.
"""

from pathlib import Path

from wellfit.data.readers.tables import SEPARATORS
from wellfit.settings.params import PARAMS_FILE, load_params
from wellfit.stages.cli import Parser, guarded, leave, yes_or_no


def main() -> int:
    parser = Parser("python pipelines/predict.py", description=__doc__)
    parser.add_argument("--input", required=True, type=Path, metavar="PATH", help="the file, or a folder of images")
    parser.add_argument(
        "--output", type=Path, metavar="CSV", default="predictions.csv", help="to make; default: %(default)s"
    )
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="default: models/<data.name>, by params.yaml")
    parser.add_argument("--proba", **yes_or_no("also the probability of each class"))
    parser.add_argument("--interval", **yes_or_no("also the interval of each number, or the set of classes"))
    parser.add_argument("--formulas", **yes_or_no("leave text alone that a spreadsheet would take for a formula"))
    parser.add_argument(
        "--separator", choices=SEPARATORS, help="between the cells of a CSV file; default: that of the training file"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args()

    def work() -> None:
        from wellfit.stages.predict import Options, predict

        model = args.model or Path("models", load_params(PARAMS_FILE).data.name)
        predict(Options(args.input, args.output, model, args.proba, args.interval, args.formulas, args.separator))

    return guarded("predict", work, debug=args.debug)


if __name__ == "__main__":
    leave(main)
