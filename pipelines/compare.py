"""Trains the variants of a comparison with several seeds; reports/comparisons/NAME/ tells what they differ in."""

from pathlib import Path

from wellfit.cli import Named, run_stage
from wellfit.compare.config import NamedComparison, comparison_titles, load_comparison


def main(named: NamedComparison) -> None:
    from wellfit.compare.compare import compare

    compare(named, report=Path("reports/comparisons", named.name))


if __name__ == "__main__":
    run_stage(main, __doc__, Named(load_comparison, comparison_titles))
