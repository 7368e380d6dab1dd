"""Trains the variants of a comparison with several seeds; reports/comparisons/NAME/ tells what they differ in."""

import os
from pathlib import Path

from wellfit.commands.cli import of_file
from wellfit.compare.comparison import NamedComparison, comparison_titles, load_comparison
from wellfit.stages.download import is_passed_over


def _compare(named: NamedComparison) -> None:
    # What DVC keeps is the comparison as its file says it.
    report = Path("reports/comparisons" if not named.given else "reports/tried", named.name)
    if "DVC_STAGE" in os.environ and is_passed_over(named, report):  # DVC stops at the first stage that fails
        return
    from wellfit.stages.compare import compare

    compare(named, report)


COMMAND = of_file(_compare, load_comparison, comparison_titles)
