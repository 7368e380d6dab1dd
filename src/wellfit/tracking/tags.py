"""The tags of a run: where it comes from, and the data it uses."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from wellfit.provenance import git_commit

if TYPE_CHECKING:
    from wellfit.data.meta import Meta

PARENT = "mlflow.parentRunId"


def run_tags(stage: str, dataset: str, meta: Meta | None = None) -> dict[str, str]:
    """What every run has.

    Args:
        stage: the tag ``wellfit.stage``.
        dataset: the name of the data.
        meta: the data, for a run that reads them.
    """
    tags = {
        "wellfit.stage": stage,
        "wellfit.dataset": dataset,
        "wellfit.data_sha256": meta.sha256 if meta else "",
        "wellfit.data_warnings": "\n".join(meta.warnings) if meta else "",
        "mlflow.source.name": sys.argv[0],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git_commit(),
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.exp_baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
    }
    return {key: value for key, value in tags.items() if value}
