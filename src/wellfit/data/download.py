"""One file over HTTP."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    import requests

SLOWEST_BYTES_PER_SECOND = 32 * 1024
CHUNK = 1 << 16  # bytes


class SourceError(Exception):
    """Why a file could not be had from a place.

    Attributes:
        retry: whether another try may succeed: the place was reached, but its answer was wrong.
    """

    def __init__(self, reason: str, *, retry: bool) -> None:
        super().__init__(reason)
        self.retry = retry


class NotThereError(SourceError):
    """The place has no such file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, retry=False)


def transfer(url: str, target: Path, *, max_bytes: int, timeout: float) -> None:
    """Downloads a file over HTTP, with a progress bar where standard error is a terminal.

    Certificates are checked, and a redirect from https to http is refused. The whole transfer, the look-up of the
    host's name included, may take ``2 * timeout`` seconds and another one for every 32 KiB of ``max_bytes``; without
    such a bound a server that sends a byte now and then would never time out.

    Args:
        url: http or https.
        target: the file to write; it is not there after a failure.
        max_bytes: a longer answer is refused.
        timeout: seconds without a byte after which the server counts as stalled.

    Raises:
        SourceError: the server did not give a whole file.
    """
    limit = 2 * timeout + max_bytes / SLOWEST_BYTES_PER_SECOND
    failures: list[Exception] = []

    def work() -> None:
        try:
            _download(url, target, max_bytes, timeout)
        except Exception as error:
            failures.append(error)

    # A blocking read cannot be given a deadline from the thread that it blocks. One that is given up goes on, into a
    # file without a name, until it ends or the process does.
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        worker.join(limit)
        if worker.is_alive():
            raise SourceError(f"too slow, given up after {limit:.3g} s", retry=False)
        if failures:
            raise _translated(failures[0], timeout)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _download(url: str, target: Path, max_bytes: int, timeout: float) -> None:
    import requests
    from tqdm import tqdm

    with (
        target.open("wb") as file,
        requests.get(
            url,
            stream=True,
            timeout=timeout,
            headers={"Accept-Encoding": "identity"},
            hooks={"response": _refuse_downgrade},
        ) as response,
    ):
        response.raise_for_status()
        size = int(response.headers.get("content-length", max_bytes))
        with tqdm(total=size, desc=url.rsplit("/", 1)[-1], unit="B", unit_scale=True, disable=None) as bar:
            for chunk in response.iter_content(CHUNK):
                if file.tell() + len(chunk) > max_bytes:
                    raise SourceError(f"wrong content: more than {max_bytes} bytes", retry=True)
                file.write(chunk)
                bar.update(len(chunk))


def _refuse_downgrade(response: "requests.Response", **_: Any) -> None:
    if response.is_redirect and urlsplit(response.url).scheme == "https":
        target = urlsplit(urljoin(response.url, response.headers["location"]))
        if target.scheme != "https":
            response.close()
            raise SourceError(f"refused: it redirects from https to {target.scheme}", retry=False)


def _translated(error: Exception, timeout: float) -> Exception:
    """The reason in a few words; an exception that is not about the transfer (a full disk) is returned as it is."""
    from requests import exceptions

    match error:
        case exceptions.HTTPError(response=response) if response is not None:
            status = response.status_code
            if status in (404, 410):
                return NotThereError(f"HTTP {status} {response.reason}")
            return SourceError(f"HTTP {status} {response.reason}", retry=status == 429 or status >= 500)
        case exceptions.SSLError():
            return SourceError("its certificate was not accepted", retry=False)
        case exceptions.RequestException() if "timed out" in str(error):
            return SourceError(f"no byte for {timeout:g} s", retry=True)
        case exceptions.ChunkedEncodingError() | exceptions.ContentDecodingError():
            return SourceError("the transfer broke off", retry=True)
        case exceptions.ConnectionError():
            return SourceError("no connection", retry=True)
        case exceptions.RequestException() | ValueError():  # a redirect to what urllib cannot take apart
            return SourceError(f"no valid address or answer ({type(error).__name__})", retry=False)
    return error
