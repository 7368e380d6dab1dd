"""Gets the raw data of data.name: from a mirror, the cache or its publisher, or from scikit-learn."""

from pathlib import Path

from wellfit.cli import run_stage
from wellfit.data.catalog import CATALOG
from wellfit.data.config import OWN_DATA
from wellfit.data.fetch import fetch
from wellfit.params import Params


def main(params: Params) -> None:
    """Writes data/raw/<data.name>/ and says where the data come from."""
    fetch(params.data, params.fetch, out=Path("data/raw"))
    name, entry = params.data.name, CATALOG[params.data.name]
    if name in OWN_DATA:
        print(f"{params.data.path} is there, and is read where it lies")
        return
    print(f"raw data of {name} are in data/raw/{name} (source: {entry.source}; licence: {entry.licence})")


if __name__ == "__main__":
    run_stage(main, __doc__)
