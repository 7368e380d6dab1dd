"""Whether new rows are still as the training rows were, column by column, by counts alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from wellfit.serving.profile import Bins, Counts, Profile

if TYPE_CHECKING:
    import pandas as pd

SOME, MUCH = 0.1, 0.25  # population stability index; Siddiqi 2006, Credit Risk Scorecards
CHANCE = 0.01  # that any column of unchanged rows is above its limit
FEW_ROWS = 100  # below which only gross changes stand out

Floats = NDArray[np.float64]


class Drift(NamedTuple):
    """A column of new rows beside the training rows.

    Attributes:
        name: of the column.
        psi: the population stability index.
        limit: above which it has moved.
        labels: of the bins that have rows.
        trained: share of the training rows in each.
        new: share of the new rows.
    """

    name: str
    psi: float
    limit: float
    labels: list[str]
    trained: Floats
    new: Floats

    @property
    def moved(self) -> Literal["no", "some", "much"]:
        """How far, in a word."""
        if self.psi <= self.limit:
            return "no"
        return "much" if self.psi > MUCH else "some"

    @property
    def differences(self) -> Floats:
        """How much each bin differs, from 0 to 1: the square of the difference of its shares over their sum."""
        differences: Floats = (self.new - self.trained) ** 2 / (self.new + self.trained)
        return differences

    @property
    def says(self) -> str:
        """The bin that differs most, in words."""
        if not self.labels:
            return "no rows"
        most = max(range(len(self.labels)), key=lambda i: (self.differences[i], self.new[i]))
        now, before = (f"{100 * shares[most]:.1f} %" for shares in (self.new, self.trained))
        return f"{self.labels[most]!r} has {now} of the rows, and had {before} before"

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON knows it."""
        shares = zip(self.labels, self.trained.tolist(), self.new.tolist(), strict=True)
        return {
            "name": self.name,
            "psi": self.psi,
            "limit": self.limit,
            "moved": self.moved,
            "bins": [{"bin": label, "training": trained, "new": new} for label, trained, new in shares],
        }


class Comparison(NamedTuple):
    """New rows beside the training rows.

    Attributes:
        rows: new ones.
        training_rows: of the model.
        columns: of the inputs, the one that moved most first.
        predictions: of the new rows beside those of the validation rows.
    """

    rows: int
    training_rows: int
    columns: list[Drift]
    predictions: Drift

    @property
    def moved(self) -> list[Drift]:
        """The columns, and the predictions, that moved."""
        return [each for each in (*self.columns, self.predictions) if each.moved != "no"]

    def called(self, each: Drift) -> str:
        """What one of them is called in a sentence."""
        return "the predictions" if each is self.predictions else f"column {each.name!r}"

    def sentences(self) -> list[str]:
        """One for each column that moved, and for the predictions if they did."""
        return [
            f"{self.called(each)} moved{' much' if each.moved == 'much' else ''}: {each.says} "
            f"(PSI {each.psi:.2g}, limit {each.limit:.2g})"
            for each in self.moved
        ]

    def as_lines(self) -> pd.DataFrame:
        """A line for each column, the one that moved most first, and then one for the predictions."""
        import pandas as pd

        names = ("name", "psi", "limit", "moved", "says")
        return pd.DataFrame(
            [[getattr(each, name) for name in names] for each in (*self.columns, self.predictions)], columns=list(names)
        )

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON knows it."""
        return {
            "rows": self.rows,
            "training_rows": self.training_rows,
            "columns": [each.as_json() for each in self.columns],
            "predictions": self.predictions.as_json(),
        }


class Counted:
    """New rows as counts, over all parts of them.

    Args:
        profile: of the training rows, whose bins are used.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._columns = [np.zeros_like(bins.counts) for bins in profile.columns]
        self._predictions = np.zeros_like(profile.predictions.counts)

    def add_rows(self, values: NDArray[Any]) -> None:
        """Adds rows, (n, columns), as `wellfit.serving.profile.observe` gives them."""
        for bins, counts, column in zip(self._profile.columns, self._columns, values.T, strict=True):
            counts += bins.count(column)

    def add_predictions(self, values: NDArray[Any]) -> None:
        """Adds predictions, (n,): indices of classes, or numbers."""
        self._predictions += self._profile.predictions.count(values)

    def add(self, other: Counted) -> None:
        """Adds what another one has counted."""
        self._predictions += other._predictions
        for counts, more in zip(self._columns, other._columns, strict=True):
            counts += more

    @property
    def rows(self) -> int:
        """How many were added."""
        return int(self._columns[0].sum())

    def compare(self) -> Comparison:
        """Compares all rows so far with the training rows."""
        chance = CHANCE / (len(self._columns) + 1)  # Bonferroni
        drifts = [
            drift_of(bins, counts, chance) for bins, counts in zip(self._profile.columns, self._columns, strict=True)
        ]
        return Comparison(
            rows=self.rows,
            training_rows=self._profile.rows,
            columns=sorted(drifts, key=lambda each: -each.psi / each.limit),
            predictions=drift_of(self._profile.predictions, self._predictions, chance),
        )


def drift_of(bins: Bins, counts: Counts, chance: float) -> Drift:
    """Compares a column by its population stability index.

    That of rows which come about in the same way is not 0: it is distributed about as (1/n + 1/m) times chi-square with
    a degree of freedom less than there are bins (Yurdakul 2018, Statistical Properties of Population Stability Index).
    The limit is at least the quantile that it exceeds by chance.

    Args:
        bins: with the m training rows in each.
        counts: the n new rows in each.
        chance: of an unchanged column to be above the limit.
    """
    trained = np.array(bins.counts)
    used = (trained > 0) | (counts > 0)
    # Half a row more in each bin, so that no share is 0, whose logarithm is infinite.
    before, now = ((rows[used] + 0.5) / (rows.sum() + 0.5 * used.sum()) for rows in (trained, counts))
    psi = noise = 0.0
    if trained.any() and counts.any() and used.sum() > 1:
        psi = float(((now - before) * np.log(now / before)).sum())
        noise = (1 / trained.sum() + 1 / counts.sum()) * float(chdtri(used.sum() - 1, chance))
    return Drift(
        name=bins.name,
        psi=psi,
        limit=max(SOME, noise),
        labels=[label for label, keep in zip(bins.labels, used, strict=True) if keep],
        trained=trained[used] / max(1, trained.sum()),
        new=counts[used] / max(1, counts.sum()),
    )
