"""What a message never says."""

import pytest

from wellfit.errors import without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql+psycopg://ann:hush@host:5432/db: no", "at postgresql+psycopg://ann:***@host:5432/db: no"),
        ("http://:hush@host", "http://:***@host"),
        ("postgresql://ann:hu/sh@!@host/db", "postgresql://ann:***@host/db"),  # as people write it
        ("https://hush@host/path", "https://***@host/path"),
        ("mysql://host/db?user=ann&password=hush&ssl=1", "mysql://host/db?user=ann&password=***&ssl=1"),
        ("'http://a:hush@h' and 'http://b:hush@h'", "'http://a:***@h' and 'http://b:***@h'"),
    ],
)
def test_secrets_in_addresses_are_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize("text", ["postgresql://ann@host/db", "http://host:5000/a", "sqlite:////a@b:c/d.db", "a: b@c"])
def test_other_texts_stay(text: str) -> None:
    assert without_secrets(text) == text
