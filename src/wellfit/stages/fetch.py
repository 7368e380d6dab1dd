"""The fetch stage: the raw data of ``data.name``, verified."""

from pathlib import Path

from wellfit.data.fetch import fetch as fetch_raw
from wellfit.settings.params import Params


def fetch(params: Params, out: Path) -> None:
    """Writes ``out/<data.name>/`` and says where the data come from.

    Args:
        params: the configuration.
        out: the folder of all raw data.

    Raises:
        WellfitError: no place gave a file.
    """
    fetch_raw(params.data, params.fetch, out)
    name, entry = params.data.name, params.data.entry
    if entry.is_own:
        print(f"{params.data.path} is there, and is read where it lies")
        return
    print(f"raw data of {name} are in {out / name} (source: {entry.source}; licence: {entry.licence})")
