"""The network beside what would have been used instead."""

import math
from typing import Any

from wellfit.baselines.comparison import base_rate, conclusion, difference_in_words, worse_than_a_constant
from wellfit.metrics.intervals import Estimate
from wellfit.metrics.names import score_name
from wellfit.metrics.threshold import DEFAULT_THRESHOLD
from wellfit.report.content import MISSING, Table, cell, in_print, score, with_interval
from wellfit.report.ensemble import model_in_words
from wellfit.report.records import Evaluated

SAYS = (
    "All models were fitted to the same training rows, and the validation rows chose among their settings. The network "
    "is compared with the baseline that was the best there. Its differences have 95 % intervals of pairs: in each "
    "resample of the test rows, all models are scored on the same ones. A point is a hundredth."
)


def baselines(run: Evaluated) -> dict[str, Any] | None:
    """A sentence, and a table for each of the two scores that models are compared by; None without baselines."""
    if not run.baselines:
        return None
    worse = worse_than_a_constant(run.metrics, base_rate(run.baselines))
    said = [each for each in (conclusion(run.baselines, run.decided.decision.threshold), worse) if each]
    return {
        "conclusion": " ".join(f"{each[0].upper()}{each[1:]}." for each in map(in_print, said)),
        "says": SAYS,
        "tables": [_table(run, name) for name in run.baselines[0].gains],
    }


def _table(run: Evaluated, name: str) -> Table:
    """The models by a score, the network first."""
    words = score_name(name)
    at_half = run.metrics.get(f"threshold/at_half/{name}")  # the baselines have no other threshold
    known = with_interval(run.metrics, name) if at_half is None else (score(name, at_half), MISSING)
    rows = [[f"the network ({model_in_words(run)})", *known, MISSING, MISSING]]
    if run.ensemble:
        alone = {key.removeprefix("single/"): value for key, value in run.metrics.items() if key.startswith("single/")}
        ends = (alone[f"{name}_gain{end}"] for end in ("", "_low", "_high"))
        by = Estimate(*(math.nan if end is None else end for end in ends))
        gain = in_print(difference_in_words(name, by))
        rows.append(["the final model alone", *with_interval(alone, name), gain, MISSING])
    for one in run.baselines:
        gain = in_print(difference_in_words(name, one.gains[name]))
        setting = ", ".join(f"{key.replace('_', ' ')} {cell(value)}" for key, value in one.fitted.setting.items())
        rows.append([one.title, *with_interval(one.scores, name), gain, setting])
    header = ["model", words, "95 % interval", "the network is better by", "chosen on validation rows"]
    at = "" if at_half is None else f", all at a threshold of {DEFAULT_THRESHOLD}"
    return Table(f"Test {words} of the network and of the baselines{at}", header, rows)
