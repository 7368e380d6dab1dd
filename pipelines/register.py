"""Registers the model in MLflow as a version of wellfit-<data set>: the champion, unless it is clearly worse than that.

--force makes it the champion in any case. It is no stage of `dvc repro`: a registry is shared, and not every run is a
release.
"""

from pathlib import Path

from wellfit.settings.params import PARAMS_FILE, load_params
from wellfit.stages.cli import Parser, guarded, leave, yes_or_no


def main() -> int:
    parser = Parser("python pipelines/register.py", description=__doc__)
    parser.add_argument("--force", **yes_or_no("make it the champion whatever the comparison says"))
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args()

    def work() -> None:
        from wellfit.stages.register import register

        register(load_params(PARAMS_FILE), Path("data"), Path("models"), force=args.force)

    return guarded("register", work, debug=args.debug)


if __name__ == "__main__":
    leave(main)
