"""Whether a test score may be due to leakage, by what `wellfit.data.leakage` has found in the training rows."""

from collections.abc import Mapping

from wellfit.data.leakage import tells
from wellfit.data.meta import Meta
from wellfit.metrics.names import score_name

CLOSE = 0.05  # below what the columns score alone, which is near perfect


def leakage(meta: Meta, metrics: Mapping[str, float | None]) -> list[str]:
    """A warning for each leak that may explain the score: the one is about as good as the other, or better.

    Args:
        meta: of the data.
        metrics: the scores of the test split.
    """
    warnings = []
    for leak in meta.leakage:
        value = metrics[leak.score_name]
        if value is not None and value >= leak.score - CLOSE:
            words = score_name(leak.score_name)
            warnings.append(f"the test {words} {value:.3f} may be due to leakage: {tells(leak, meta.target_name)}")
    return warnings
