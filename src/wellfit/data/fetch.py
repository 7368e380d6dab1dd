"""Fetches raw data: verified and complete, from the nearest place that has them."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pydantic import Field

from wellfit.config import Config
from wellfit.data.download import NotThereError, SourceError, transfer
from wellfit.data.raw import Entry, Package, RawFile
from wellfit.data.readers.bundled import save_arrays
from wellfit.data.settings import DataConfig
from wellfit.data.unpack import most_bytes, unpack
from wellfit.errors import WellfitError, without_secrets
from wellfit.files import project_root, replacing, write_bytes, write_json
from wellfit.manifest import file_sha256

MIRROR_VARIABLE = "WELLFIT_MIRROR"
CACHE_VARIABLE = "WELLFIT_CACHE"
FIRST_PAUSE = 1.0  # seconds before the first retry; each later pause is twice as long
LONGEST_PAUSE = 60.0  # seconds
MOST_BYTES_OF_WEIGHTS = 2**34


class FetchConfig(Config):
    """The section ``fetch``."""

    timeout: float = Field(gt=0, le=86_400)
    retries: int = Field(ge=0, le=100)


class _Place(NamedTuple):
    """Where a file may be.

    Attributes:
        kind: mirror, cache or publisher.
        where: a file here or a URL.
        package: what should be there.
    """

    kind: str
    where: Path | str
    package: Package

    def __str__(self) -> str:
        return f"{self.kind} {self.where if isinstance(self.where, Path) else without_secrets(self.where)}"


def fetch(data: DataConfig, config: FetchConfig, out: Path) -> None:
    """Makes ``out/<data.name>/``; a failure leaves nothing there, or what was there before.

    The user's own data stay where they are; ``source.json`` describes them.

    Each file is looked for in the mirror (``WELLFIT_MIRROR``, a folder or a URL that holds ``<data set>/<file>``), in
    the cache (``WELLFIT_CACHE``, by default the user's cache folder), then at the publishers' addresses, and taken from
    the first place where the unpacked content has the right digest. A mirror may hold it as it was published or
    unpacked. A download is kept in the cache.

    Args:
        data: which data set; for generated ones also their size, noise and seed.
        config: time-out and retries of each download.
        out: the folder of all raw data.

    Raises:
        WellfitError: no place gave a file; the message names the file, each place and its fault.
    """
    entry, folder = data.entry, out / data.name
    if entry.files and _is_complete(folder, entry):
        print(f"{folder} is already there, verified", flush=True)
        return
    with replacing(folder) as new:
        if entry.describe is not None:
            write_json(new / "source.json", {"path": data.path} | entry.describe(data))
        if entry.load is not None:
            save_arrays(entry.load(data), entry, new)
        for package in entry.packages:
            for file in package.files:
                if not (new / file.name).exists():  # it may have come with another one
                    _fetch_file(data.name, package, file, new, config)


def fetch_weights(file: str, config: FetchConfig) -> Path | None:
    """A file of weights of the mirror, ``<mirror>/weights/<file>``; from a URL it comes into the cache.

    Args:
        file: its name.
        config: time-out and retries of the download.

    Returns:
        Where it is; None where there is no mirror, or no such file in it.

    Raises:
        WellfitError: the mirror is there but does not give the file.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return None
    root = _mirror_root(mirror)
    if isinstance(root, Path):
        path = root / "weights" / file
        return path if path.is_file() else None
    url, cached = f"{root}/weights/{file}", _cache() / "weights" / file
    if cached.is_file():
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    unfinished = cached.with_name(f".{file}.{os.getpid()}")

    def get() -> None:
        print(f"mirror {without_secrets(url)}", flush=True)
        transfer(url, unfinished, max_bytes=MOST_BYTES_OF_WEIGHTS, timeout=config.timeout)

    try:
        _with_retries(get, config)
    except NotThereError:
        return None
    except SourceError as fault:
        raise WellfitError(f"weights/{file} could not be fetched (mirror {without_secrets(url)}: {fault})") from None
    unfinished.replace(cached)
    return cached


def _is_complete(folder: Path, entry: Entry) -> bool:
    found = ((folder / file.name, file.sha256) for file in entry.files)
    return all(path.is_file() and file_sha256(path) == sha256 for path, sha256 in found)


def _fetch_file(name: str, package: Package, file: RawFile, folder: Path, config: FetchConfig) -> None:
    """Takes a file, and the other files of its package, from the first place that has it."""
    published = f"{name}/{package.name}"
    failures: list[str] = []
    is_absent = False
    for place in _places(name, package, file):
        is_published_form = place.package is package
        if not is_published_form and not is_absent:
            continue  # the other form counts only where the published one is not
        try:
            _take(place, _cache() / name / place.package.name, folder, config)
            if failures and isinstance(place.where, Path):
                print(place, flush=True)
            return
        except SourceError as fault:
            is_absent = isinstance(fault, NotThereError)
            if is_published_form or not is_absent:
                failures.append(f"{place}: {fault}")
                _report(place, fault)
    raise WellfitError(
        f"{published} could not be fetched ({'; '.join(failures)}); set {MIRROR_VARIABLE}=<folder or URL> to a place "
        f"that holds {published}"
    )


def _report(place: _Place, fault: SourceError) -> None:
    if place.kind != "cache":
        print(f"{place}: {fault}", flush=True)
    elif fault.retry and isinstance(place.where, Path):
        print(f"{place}: {fault}; dropped", flush=True)
        with suppress(OSError):
            place.where.unlink()


def _places(name: str, package: Package, file: RawFile) -> list[_Place]:
    """All places, the nearest first; a mirror and the cache may hold the file as published, or unpacked."""
    unpacked = Package(file.name, "plain", (file,))
    forms = [package] if package.container == "plain" else [package, unpacked]
    roots: list[tuple[str, Path | str]] = [("cache", _cache())]
    if mirror := os.environ.get(MIRROR_VARIABLE):
        roots.insert(0, ("mirror", _mirror_root(mirror)))
    near = [
        _Place(kind, root / name / form.name if isinstance(root, Path) else f"{root}/{name}/{form.name}", form)
        for kind, root in roots
        for form in forms
    ]
    return near + [_Place("publisher", address, package) for address in package.addresses]


def _mirror_root(mirror: str) -> Path | str:
    if "://" not in mirror:
        return _from_root(mirror)
    try:
        url = urlsplit(mirror)
        if url.scheme == "file" and url.path:
            return Path(url2pathname(url.path))
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return mirror.rstrip("/")
    except ValueError:  # an address that cannot be taken apart
        pass
    raise WellfitError(f"{MIRROR_VARIABLE} must be a folder or a http, https or file URL, got {mirror}")


def _cache() -> Path:
    if chosen := os.environ.get(CACHE_VARIABLE):
        return _from_root(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("wellfit")


def _from_root(path: str) -> Path:
    """A relative path counts from the repository's root, also where DVC runs an experiment in a copy of it."""
    return project_root() / Path(path).expanduser()


def _take(place: _Place, cached: Path, folder: Path, config: FetchConfig) -> None:
    if isinstance(place.where, Path):
        unpack(place.where, folder, place.package)
        return
    packed = folder / f".{place.package.name}.download"
    try:
        _download(place, place.where, packed, config)
        _keep(packed, cached)
    finally:
        packed.unlink(missing_ok=True)


def _download(place: _Place, url: str, packed: Path, config: FetchConfig) -> None:
    """Downloads a package and unpacks it beside itself, with retries."""

    def get() -> None:
        print(place, flush=True)
        transfer(url, packed, max_bytes=most_bytes(place.package), timeout=config.timeout)
        unpack(packed, packed.parent, place.package)

    _with_retries(get, config)


def _with_retries(get: Callable[[], None], config: FetchConfig) -> None:
    for retry in range(config.retries + 1):
        try:
            get()
            return
        except SourceError as fault:
            if not fault.retry or retry == config.retries:
                if retry == 0:
                    raise
                raise SourceError(f"{fault} ({retry + 1} tries)", retry=False) from None
            pause = min(FIRST_PAUSE * 2**retry, LONGEST_PAUSE)
            print(f"{fault}; next try in {pause:g} s", flush=True)
            time.sleep(pause)


def _keep(packed: Path, cached: Path) -> None:
    """Copies a verified download into the cache; a cache that cannot be written to is only reported."""
    try:
        write_bytes(cached, packed.read_bytes(), durable=False)
    except OSError as error:
        print(f"not kept in the cache: {error}", flush=True)
