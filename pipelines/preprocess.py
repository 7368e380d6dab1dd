"""Splits the raw data into train, validation and test, and computes the statistics of train."""

from pathlib import Path

from wellfit.cli import run_stage
from wellfit.data.prepare import describe, prepare
from wellfit.params import Params


def main(params: Params) -> None:
    """Writes data/processed/<data.name>/ and says what is in it."""
    meta = prepare(params.data, raw=Path("data/raw"), out=Path("data/processed"))
    sizes = ", ".join(f"{size:,} {name}" for name, size in meta.split_sizes.items())
    print(f"prepared {meta.name} in data/processed/{meta.name}: {sizes} rows")
    print("\n".join([*describe(meta), *(f"warning: {sentence}" for sentence in meta.warnings)]))


if __name__ == "__main__":
    run_stage(main, __doc__)
