"""Whether an error of the store says that its file is damaged."""

import sqlite3

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def damage_of(error: BaseException) -> str | None:
    """What SQLite says of a damaged file, in the words that an error or what it was raised from has; else None."""
    behind: BaseException | None = error
    while behind is not None:
        found = getattr(behind, "orig", behind)  # SQLAlchemy keeps the database's own error
        if getattr(found, "sqlite_errorcode", 0) & 0xFF in DAMAGED:
            return str(found)
        behind = behind.__cause__ or behind.__context__
    return None
