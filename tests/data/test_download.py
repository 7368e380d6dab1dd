import errno
import gzip
import io
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wellfit.data.catalog import CATALOG
from wellfit.data.download import SourceError, transfer
from wellfit.errors import WellfitError

BODY = bytes(range(256)) * 40


def test_transfer_refuses_more_than_was_announced(server: Any, tmp_path: Path) -> None:
    server.answers["/file"] = [server.content(bytes(10_000_001))]
    with pytest.raises(SourceError, match="more than 1000 bytes"):
        transfer(f"{server.url}/file", tmp_path / "file", max_bytes=1000, timeout=5)
    assert list(tmp_path.iterdir()) == []


def test_transfer_gives_the_bytes_as_they_are(server: Any, tmp_path: Path) -> None:
    packed = gzip.compress(BODY)
    server.answers["/file.gz"] = [server.content(packed)]
    transfer(f"{server.url}/file.gz", tmp_path / "file.gz", max_bytes=len(packed), timeout=5)
    assert (tmp_path / "file.gz").read_bytes() == packed


@pytest.mark.parametrize("location", ["http://", "gopher://host/file", "http://[bad", "http://host:99999/"])
def test_a_redirect_to_nowhere(location: str, server: Any, tmp_path: Path) -> None:
    server.answers["/file"] = [server.content(b"", status=302, Location=location)]
    with pytest.raises(SourceError) as raised:
        transfer(f"{server.url}/file", tmp_path / "file", max_bytes=1000, timeout=5)
    assert not raised.value.retry


def test_redirects_in_a_circle(server: Any, tmp_path: Path) -> None:
    server.answers["/file"] = [server.content(b"", status=302, Location="/file")]
    with pytest.raises(SourceError, match="TooManyRedirects"):
        transfer(f"{server.url}/file", tmp_path / "file", max_bytes=1000, timeout=5)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_nothing_left(raw: Path) -> None:
    assert list(raw.iterdir()) == []


@pytest.mark.parametrize("sent", [None, 30])
def test_a_stalled_server_times_out(
    sent: int | None, published: Any, server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    whole = published.packed(published.contents[published.first])

    def stall(handler: Any) -> None:
        if sent is not None:
            server.content(whole[:sent], length=len(whole))(handler)
        server.closing.wait(20)

    server.answers[published.first_path] = [stall]
    start = time.monotonic()
    with pytest.raises(WellfitError, match=r"no byte for 0\.2 s \(2 tries\)"):
        get(timeout=0.2, retries=1)
    assert time.monotonic() - start < 5
    assert server.requests[published.first_path] == 2
    assert_nothing_left(tmp_path / "raw")


@pytest.mark.parametrize("part", ["body", "headers"])
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    part: str, published: Any, server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    whole = published.packed(published.contents[published.first])

    def trickle(handler: Any) -> None:
        if part == "body":
            server.content(b"", length=len(whole))(handler)
        else:
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        for byte in whole * 10:
            handler.wfile.write(bytes([byte or 1]))
            if server.closing.wait(0.05):
                return

    server.answers[published.first_path] = [trickle]
    start = time.monotonic()
    with pytest.raises(WellfitError, match="too slow, given up after"):
        get(timeout=0.2, retries=5)
    assert time.monotonic() - start < 3
    assert server.requests[published.first_path] == 1, "a slow server is as slow the next time"
    assert_nothing_left(tmp_path / "raw")
    server.closing.set()
    for thread in threading.enumerate():
        if thread.daemon and "work" in thread.name:
            thread.join(5)
            assert not thread.is_alive()


def test_a_redirect_from_https_to_http_is_refused(
    published: Any,
    server: Any,
    second_server: Any,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[..., Path],
    tmp_path: Path,
) -> None:
    second_server.use_tls(*certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    address = f"{second_server.url}/secure"
    monkeypatch.setitem(CATALOG, "fashion_mnist", published.entry_at(address))
    second_server.answers[f"/secure/{published.first}.gz"] = [
        second_server.content(b"", status=302, Location=f"{server.url}{published.first_path}")
    ]
    with pytest.raises(WellfitError, match="refused: it redirects from https to http"):
        get()
    assert second_server.requests[f"/secure/{published.first}.gz"] == 1
    assert not server.requests
    assert_nothing_left(tmp_path / "raw")


def test_other_redirects_are_followed(
    published: Any,
    server: Any,
    second_server: Any,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[..., Path],
) -> None:
    second_server.use_tls(*certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    for name, body in published.contents.items():
        path = f"/publisher/{name}.gz"
        server.answers[path] = [server.content(b"", status=301, Location=f"{second_server.url}{path}")]
        second_server.answers[path] = [second_server.content(b"", status=307, Location=f"/elsewhere/{name}")]
        second_server.answers[f"/elsewhere/{name}"] = [second_server.content(published.packed(body))]
    assert contents(get()) == published.contents


def test_an_unknown_certificate_is_not_accepted(
    published: Any,
    second_server: Any,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[..., Path],
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    second_server.use_tls(*certificate)
    monkeypatch.setitem(CATALOG, "fashion_mnist", published.entry_at(second_server.url))
    with pytest.raises(WellfitError, match="certificate was not accepted"):
        get()
    assert not second_server.requests


def test_a_server_that_takes_the_container_off_on_the_way(
    published: Any, server: Any, get: Callable[..., Path]
) -> None:
    whole = published.packed(published.contents[published.first])
    server.answers[published.first_path] = [server.content(whole, Content_Encoding="gzip")]
    assert contents(get()) == published.contents


def test_a_full_disk_is_not_blamed_on_the_server(
    published: Any, server: Any, monkeypatch: pytest.MonkeyPatch, get: Callable[..., Path], tmp_path: Path
) -> None:
    class Full(io.BytesIO):
        def write(self, *_: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def open_or_full(path: Path, *args: Any, **options: Any) -> Any:
        return Full() if path.suffix == ".download" else open_file(path, *args, **options)

    open_file = Path.open
    monkeypatch.setattr(Path, "open", open_or_full)
    with pytest.raises(OSError, match="No space left") as raised:
        get()
    assert raised.value.errno == errno.ENOSPC
    assert server.requests[published.first_path] == 1
    assert_nothing_left(tmp_path / "raw")


def test_a_bar_on_a_terminal(published: Any, monkeypatch: pytest.MonkeyPatch, get: Callable[..., Path]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    get()
    assert f"{published.first}.gz: 100%" in terminal.getvalue()
