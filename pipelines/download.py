"""Fetches a data set for comparisons; data/comparisons/available/NAME.yaml tells whether it could be had."""

from wellfit.cli import Named, run_stage
from wellfit.compare.downloads import load_download, published
from wellfit.params import Params


def main(params: Params) -> None:
    from wellfit.compare.downloads import try_download

    try_download(params)


if __name__ == "__main__":
    run_stage(main, __doc__, Named(load_download, published))
