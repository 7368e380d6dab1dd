"""Exports a trained model as one file that runs without wellfit: ONNX, or what torch.export.load reads.

Gaps, standardization, embeddings, the mean of several networks, temperature, threshold and intervals are inside; the
JSON file beside it says which column and which category stands where.
"""

from pathlib import Path

from wellfit.settings.params import PARAMS_FILE, load_params
from wellfit.stages.cli import Parser, guarded, leave


def main() -> int:
    parser = Parser("python pipelines/export.py", description=__doc__)
    parser.add_argument("--format", choices=["onnx", "torch_export"], default="onnx", help="default: %(default)s")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="default: models/<data.name>, by params.yaml")
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="to make; default: exports/<data>, with .onnx or .pt2"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args()

    def work() -> None:
        from wellfit.stages.export import export

        export(args.model or Path("models", load_params(PARAMS_FILE).data.name), args.format, args.output)

    return guarded("export", work, debug=args.debug)


if __name__ == "__main__":
    leave(main)
