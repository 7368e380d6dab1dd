"""``wellfit features`` with the code of this checkout, for DVC and ``mlflow run``."""

from wellfit.commands.cli import run_script

if __name__ == "__main__":
    run_script("features")
