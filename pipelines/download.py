"""Fetches a data set for comparisons; data/comparisons/available/NAME.yaml tells whether it could be had."""

from wellfit.settings.params import Params
from wellfit.stages.cli import Named, run_stage
from wellfit.stages.download import load_download, published


def main(params: Params) -> None:
    from wellfit.stages.download import try_download

    try_download(params)


if __name__ == "__main__":
    run_stage(main, __doc__, Named(load_download, published))
