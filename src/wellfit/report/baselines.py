"""The network beside what would have been used instead."""

from typing import Any

from wellfit.baselines.comparison import conclusion, difference_in_words
from wellfit.metrics.names import score_name
from wellfit.report.content import MISSING, Table, cell, in_print, score, with_interval
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
    sentence = in_print(conclusion(run.baselines))
    return {
        "conclusion": f"{sentence[0].upper()}{sentence[1:]}.",
        "says": SAYS,
        "tables": [_table(run, name) for name in run.baselines[0].gains],
    }


def _table(run: Evaluated, name: str) -> Table:
    """The models by a score, the network first."""
    words = score_name(name)
    network = run.checkpoint.info["config"]["model"]["name"]
    at_half = run.metrics.get(f"threshold/at_half/{name}")  # the baselines have no other threshold
    known = with_interval(run.metrics, name) if at_half is None else (score(name, at_half), MISSING)
    rows = [[f"the network ({network})", *known, MISSING, MISSING]]
    for one in run.baselines:
        gain = in_print(difference_in_words(name, one.gains[name]))
        setting = ", ".join(f"{key.replace('_', ' ')} {cell(value)}" for key, value in one.fitted.setting.items())
        rows.append([one.title, *with_interval(one.scores, name), gain, setting])
    header = ["model", words, "95 % interval", "the network is better by", "chosen on validation rows"]
    return Table(f"Test {words} of the network and of the baselines", header, rows)
