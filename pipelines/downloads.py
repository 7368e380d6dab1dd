"""Fetches the data sets that comparisons download; data/comparisons/available.yaml tells which could be had."""

from wellfit.cli import run_stage
from wellfit.params import Params


def main(_: Params) -> None:
    from wellfit.compare.downloads import AVAILABLE, download_all

    download_all(AVAILABLE)


if __name__ == "__main__":
    run_stage(main, __doc__)
