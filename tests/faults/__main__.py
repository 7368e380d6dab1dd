"""Plays rounds of faults and prints what came of them: ``make faults SEED=3 N=10 KIND=kills``."""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
for name in [*os.environ]:
    if name.startswith(("DVC_", "MLFLOW_", "WELLFIT_")):
        del os.environ[name]

from . import damage, disk, hostile, kills, outages, pipeline, pretrained, settings, tables  # noqa: E402
from .harness import Kind, play  # noqa: E402
from .project import Template  # noqa: E402

KINDS = {
    "kills": Kind(kills.play, 15),
    "pipeline": Kind(pipeline.play, 1),
    "damage": Kind(damage.play, 50),
    "pretrained": Kind(pretrained.play, 10),
    "settings": Kind(settings.play, 12),
    "tables": Kind(tables.play, 60),
    "outages": Kind(outages.play, 6),
    "disk": Kind(disk.play, 12),
    "hostile": Kind(hostile.play, 40),
}


def main() -> int:
    """Reads the options, plays, and removes what no failure needs."""
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, help="of each kind; default: as many as take ten minutes in all")
    parser.add_argument("--share", type=float, default=1.0, help="of the default number of rounds")
    parser.add_argument("--kind", choices=KINDS, help="only this one")
    parser.add_argument("--only", type=int, help="only the round of this number")
    args = parser.parse_args()
    kinds = {args.kind: KINDS[args.kind]} if args.kind else KINDS
    numbers = {
        name: range(args.only, args.only + 1)
        if args.only is not None
        else range(args.rounds or round(kind.rounds * args.share))
        for name, kind in kinds.items()
    }
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    if not play(kinds, numbers, args.seed, folder, Template(folder / "template")):
        return 1
    shutil.rmtree(folder)
    return 0


sys.exit(main())
