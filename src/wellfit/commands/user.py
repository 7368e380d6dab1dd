"""A user without a name or a home, as a container may have one: libraries ask for both, and fail without."""

import os
from getpass import getuser
from pathlib import Path

HOME = Path(".wellfit", "home")  # of who has none


def settle_user() -> None:
    """Gives this process, and those that it starts, a user's name, a home, and a folder for Matplotlib's fonts."""
    try:
        getuser()
    except (KeyError, OSError):  # no such variable, and the system does not know the number: the latter since 3.13
        os.environ["USER"] = str(os.getuid())
    home = Path(os.path.expanduser("~"))
    if not home.is_absolute():
        home = HOME.absolute()
        os.environ["HOME"] = str(home)
    if not os.access(home, os.W_OK):  # else each process makes a folder in /tmp, and says so in two lines
        os.environ.setdefault("MPLCONFIGDIR", str((HOME / "matplotlib").absolute()))
