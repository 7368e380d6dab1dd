"""Python imports this at its start when its folder is on PYTHONPATH: a stage, with the
processes it starts, writes down every module it imports.

Each goes to ``$IMPORT_LOG/<stage>`` at once, as a stage ends without looking back (wellfit.commands.process.leave).
"""

import os
import sys

if stage := os.environ.get("DVC_STAGE"):
    log = open(os.path.join(os.environ["IMPORT_LOG"], stage.rpartition(":")[2]), "a", buffering=1)  # noqa: SIM115

    class Recorder:
        """Is asked for every module first, and knows none."""

        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            log.write(name + "\n")

    sys.meta_path.insert(0, Recorder)
