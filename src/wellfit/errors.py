"""The one exception that a user is meant to read."""


class WellfitError(Exception):
    """Bad input or a missing file, said in one line that names what is at fault and what to do."""
