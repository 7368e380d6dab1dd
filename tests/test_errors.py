"""What a message never says."""

import pytest

from wellfit.errors import WellfitError, one_line, without_secrets


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


def test_what_others_say_is_cut_between_words_and_what_we_say_is_not() -> None:
    assert (
        one_line(ValueError("Is the server running? " * 20))
        == " ".join(["Is the server running?"] * 8) + " Is the server ..."
    )
    assert len(one_line(WellfitError("it is " * 100))) == 599
    assert one_line(ValueError("short\n and plain")) == "short and plain"
    assert one_line(TimeoutError()) == "TimeoutError"
