"""Gets the raw data of data.name: from a mirror, the cache or its publisher, or from scikit-learn."""

from pathlib import Path

from wellfit.settings.params import Params
from wellfit.stages.cli import run_stage


def main(params: Params) -> None:
    from wellfit.stages.fetch import fetch

    fetch(params, out=Path("data/raw"))


if __name__ == "__main__":
    run_stage(main, __doc__)
