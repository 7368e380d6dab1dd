"""Fetches a data set for comparisons; data/comparisons/available/NAME.yaml tells whether it could be had."""

from wellfit.commands.cli import of_file
from wellfit.stages.download import load_download, published, try_download

COMMAND = of_file(try_download, load_download, published)
