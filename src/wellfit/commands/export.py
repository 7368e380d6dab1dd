"""Exports a trained model as one file that runs without wellfit: ONNX, or what torch.export.load reads.

Gaps, standardization, embeddings, the mean of several networks, temperature, threshold and intervals are inside; the
JSON file beside it says which column and which category stands where.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from wellfit.commands.cli import Command
from wellfit.settings.params import PARAMS_FILE, load_params


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--format", choices=["onnx", "torch_export"], default="onnx", help="default: %(default)s")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="default: models/<data.name>, by params.yaml")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="to make, with its folder; default: exports/<data>, with .onnx or .pt2",
    )


def _export(args: Namespace) -> None:
    from wellfit.stages.export import export

    export(args.model or Path("models", load_params(PARAMS_FILE).data.name), args.format, args.output)


COMMAND = Command(_add_options, _export)
