import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wellfit.data import fetch as module
from wellfit.data.catalog import CATALOG
from wellfit.data.raw import Package, RawFile
from wellfit.errors import WellfitError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_nothing_left(raw: Path) -> None:
    assert list(raw.iterdir()) == []


def flipped(body: bytes) -> bytes:
    """The same content with one other bit, in a container that is in order."""
    return body[:-1] + bytes([body[-1] ^ 1])


def test_right_files_are_published_unpacked_and_kept_in_the_cache(
    published: Any, server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    folder = get()
    assert contents(folder) == published.contents
    assert set(server.requests.values()) == {1}
    kept = contents(tmp_path / "cache" / "fashion_mnist")
    assert kept == {f"{name}.gz": published.packed(body) for name, body in published.contents.items()}


def bad_answers(published: Any, server: Any) -> dict[str, Any]:
    body = published.contents[published.first]
    whole = published.packed(body)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0x10
    return {
        "truncated": server.content(whole[:-20], length=len(whole)),
        "truncated without a word": server.content(whole[:-20]),
        "empty": server.content(b""),
        "flipped byte": server.content(bytes(damaged)),
        "flipped byte inside": server.content(published.packed(flipped(body))),
        "too long inside": server.content(published.packed(body + b"x")),
        "too short inside": server.content(published.packed(body[:-1])),
        "endless": server.content(bytes(1_000_000)),
        "web page": server.content(b"<html>log in to the hotel's network</html>"),
        "status 500": server.content(b"", status=500),
        "status 503": server.content(b"", status=503),
        "status 429": server.content(b"", status=429),
        "hangs up": lambda handler: None,
    }


BAD_ANSWERS = (
    *("truncated", "truncated without a word", "empty", "flipped byte", "flipped byte inside", "too long inside"),
    *("too short inside", "endless", "web page", "status 500", "status 503", "status 429", "hangs up"),
)


@pytest.mark.parametrize("fault", BAD_ANSWERS)
def test_a_bad_answer_is_followed_by_another_try(
    fault: str, published: Any, server: Any, get: Callable[..., Path]
) -> None:
    right = server.answers[published.first_path][0]
    server.answers[published.first_path] = [bad_answers(published, server)[fault], right]
    assert contents(get()) == published.contents
    assert server.requests[published.first_path] == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("truncated", "the transfer broke off"),
        ("truncated without a word", "damaged"),
        ("flipped byte inside", "wrong content: sha256"),
        ("too long inside", "wrong content: 177 bytes unpacked, not 176"),
        ("endless", "wrong content: more than"),
        ("status 503", "HTTP 503"),
        ("hangs up", "no connection"),
    ],
)
def test_bad_answers_for_ever_are_one_line_and_leave_nothing(
    fault: str, reason: str, published: Any, server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    server.answers[published.first_path] = [bad_answers(published, server)[fault]]
    with pytest.raises(WellfitError) as raised:
        get(retries=2)
    message = str(raised.value)
    assert reason in message
    assert "(3 tries)" in message
    assert "\n" not in message
    assert server.requests[published.first_path] == 3
    assert_nothing_left(tmp_path / "raw")
    assert not (tmp_path / "cache").exists()


def test_404_is_not_asked_for_again_and_the_next_address_is(
    published: Any, server: Any, monkeypatch: pytest.MonkeyPatch, get: Callable[..., Path]
) -> None:
    monkeypatch.setitem(CATALOG, "fashion_mnist", published.entry_at(f"{server.url}/gone", published.address))
    assert contents(get()) == published.contents
    assert server.requests[f"/gone/{published.first}.gz"] == 1


def test_404_everywhere_says_so(published: Any, server: Any, get: Callable[..., Path], tmp_path: Path) -> None:
    server.answers.clear()
    with pytest.raises(WellfitError, match="HTTP 404 Not Found"):
        get()
    assert server.requests[published.first_path] == 1
    assert_nothing_left(tmp_path / "raw")


def test_offline_is_one_line_that_says_which_file_where_and_what_to_do(
    published: Any, server: Any, monkeypatch: pytest.MonkeyPatch, get: Callable[..., Path], tmp_path: Path
) -> None:
    server.close()
    monkeypatch.setenv("WELLFIT_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(WellfitError) as raised:
        get(retries=1)
    file = f"fashion_mnist/{published.first}.gz"
    assert str(raised.value) == (
        f"{file} could not be fetched (mirror {tmp_path}/mirror/{file}: not there; cache {tmp_path}/cache/{file}: not "
        f"there; publisher {published.address}/{published.first}.gz: no connection (2 tries)); set WELLFIT_MIRROR="
        f"<folder or URL> to a place that holds {file}"
    )
    assert_nothing_left(tmp_path / "raw")


@pytest.mark.parametrize("form", ["folder", "file URL", "relative", "relative to DVC_ROOT"])
def test_a_mirror_folder_comes_first(
    form: str,
    published: Any,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[..., Path],
    tmp_path: Path,
) -> None:
    mirror = tmp_path / "a mirror"
    published.write_packed(mirror / "fashion_mnist")
    values = {"folder": str(mirror), "file URL": mirror.as_uri()}
    monkeypatch.setenv("WELLFIT_MIRROR", values.get(form, "a mirror"))
    if form == "relative":
        monkeypatch.chdir(tmp_path)
    if form == "relative to DVC_ROOT":
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert contents(get()) == published.contents
    assert not server.requests
    assert not (tmp_path / "cache").exists(), "a folder at hand needs no copy"


def test_a_mirror_url_comes_first_and_is_cached(
    published: Any,
    server: Any,
    second_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[..., Path],
    tmp_path: Path,
) -> None:
    for name, body in published.contents.items():
        second_server.answers[f"/m/fashion_mnist/{name}.gz"] = [second_server.content(published.packed(body))]
    monkeypatch.setenv("WELLFIT_MIRROR", f"{second_server.url}/m/")
    assert contents(get()) == published.contents
    assert not server.requests
    assert len(list((tmp_path / "cache" / "fashion_mnist").iterdir())) == 4


def test_a_mirror_with_wrong_content_is_named_and_the_next_place_asked(
    published: Any,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mirror = tmp_path / "mirror" / "fashion_mnist"
    published.write_packed(mirror)
    wrong = published.packed(flipped(published.contents[published.first]))
    (mirror / f"{published.first}.gz").write_bytes(wrong)
    monkeypatch.setenv("WELLFIT_MIRROR", str(tmp_path / "mirror"))
    assert contents(get()) == published.contents
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mirror")]
    assert len(lines) == 1
    assert lines[0].startswith(f"mirror {mirror}/{published.first}.gz: wrong content: sha256")
    assert "dropped" not in lines[0]
    assert list(server.requests) == [published.first_path]
    assert (mirror / f"{published.first}.gz").read_bytes() == wrong, "a mirror is not ours to change"


@pytest.mark.parametrize("mirror", ["ftp://host/data", "http://", "http://[bad", "http://host:port/", "s3://bucket"])
def test_a_mirror_that_is_no_address(
    mirror: str, published: Any, monkeypatch: pytest.MonkeyPatch, get: Callable[..., Path]
) -> None:
    monkeypatch.setenv("WELLFIT_MIRROR", mirror)
    with pytest.raises(WellfitError, match="WELLFIT_MIRROR must be a folder or a http, https or file URL, got "):
        get()


def test_the_password_of_a_mirror_is_not_shown(
    published: Any,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.answers.clear()
    monkeypatch.setenv("WELLFIT_MIRROR", server.url.replace("://", "://me:secret@"))
    with pytest.raises(WellfitError) as raised:
        get()
    assert "secret" not in str(raised.value) + "".join(capsys.readouterr())


def test_the_cache_comes_before_the_publishers(
    published: Any, server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    published.write_packed(tmp_path / "cache" / "fashion_mnist")
    assert contents(get()) == published.contents
    assert not server.requests


def test_a_corrupt_file_in_the_cache_is_replaced(
    published: Any, server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    cache = tmp_path / "cache" / "fashion_mnist"
    published.write_packed(cache)
    right = (cache / f"{published.first}.gz").read_bytes()
    (cache / f"{published.first}.gz").write_bytes(right[:-9])
    assert contents(get()) == published.contents
    assert list(server.requests) == [published.first_path]
    assert (cache / f"{published.first}.gz").read_bytes() == right


def test_a_corrupt_file_in_the_cache_is_dropped_even_offline(
    published: Any, server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    cached = tmp_path / "cache" / "fashion_mnist" / f"{published.first}.gz"
    published.write_packed(cached.parent)
    cached.write_bytes(b"\x1f\x8bnonsense")
    server.answers.clear()
    with pytest.raises(WellfitError, match=r"cache .*: damaged: .*; publisher"):
        get()
    assert not cached.exists()


def test_a_cache_that_cannot_be_written_is_no_hindrance(
    published: Any, get: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert contents(get()) == published.contents
    assert "not kept in the cache" in capsys.readouterr().out


def test_what_is_there_and_verified_is_not_fetched_again(
    published: Any, server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    published.write_raw(tmp_path / "raw" / "fashion_mnist")
    server.answers.clear()
    assert contents(get()) == published.contents
    assert not server.requests


def test_what_is_there_but_damaged_is_replaced_or_left_as_it_was(
    published: Any, server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "raw" / "fashion_mnist"
    published.write_raw(folder)
    (folder / published.first).write_bytes(b"damaged")
    before, answers = contents(folder), dict(server.answers)
    server.answers.clear()
    with pytest.raises(WellfitError):
        get()
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["fashion_mnist"]
    server.answers |= answers
    assert contents(get()) == published.contents


def test_nothing_is_published_before_the_last_file_is_there(
    published: Any, server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    last = "/publisher/t10k-labels-idx1-ubyte.gz"
    seen = []

    def look(handler: Any) -> None:
        seen.append((tmp_path / "raw" / "fashion_mnist").exists())
        server.content(b"", status=404)(handler)

    right = server.answers[last]
    server.answers[last] = [look]
    with pytest.raises(WellfitError, match="t10k-labels"):
        get()
    assert seen == [False]
    assert_nothing_left(tmp_path / "raw")
    server.answers[last] = right
    assert contents(get()) == published.contents
    assert server.requests[published.first_path] == 1, "the first three came from the cache"


def test_a_plain_line_per_file_and_no_bar_where_there_is_no_terminal(
    published: Any, get: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    get()
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [f"publisher {published.address}/{name}.gz" for name in published.contents]
    assert shown.err == ""


def test_pauses_double_up_to_a_limit(
    published: Any, server: Any, monkeypatch: pytest.MonkeyPatch, get: Callable[..., Path]
) -> None:
    server.answers[published.first_path] = [server.content(b"", status=500)]
    pauses: list[float] = []
    monkeypatch.setattr(module, "FIRST_PAUSE", 1.0)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 5.0)
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    with pytest.raises(WellfitError, match=r"\(6 tries\)"):
        get(retries=5)
    assert pauses == [1, 2, 4, 5, 5]


@pytest.mark.parametrize("name", ["moons", "regression", "imbalanced"])
def test_generated_data_depend_on_their_params_alone(name: str, get: Callable[..., Path], tmp_path: Path) -> None:
    first = contents(get(name))
    assert contents(get(name)) == first
    assert contents(get(name, seed=1)) != first
    assert contents(get(name, noise=0.2)) != first
    assert contents(get(name, n_samples=100)) != first
    assert [path.name for path in (tmp_path / "raw").iterdir()] == [name]


PLAIN = {"adult.data": b"39, State-gov\n" * 50, "adult.test": b"|1x3 Cross validator\n" * 20}
BATCHES = {name: name.encode() * 400 for name in ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin", "last.bin")}
ARCHIVE = "cifar-10-binary.tar.gz"


def raw_file(name: str, body: bytes) -> RawFile:
    return RawFile(name, len(body), hashlib.sha256(body).hexdigest())


def packed_as_tar(contents: dict[str, bytes], folder: str = "inside") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, body in {"readme.html": b"hello", **contents}.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return gzip.compress(stream.getvalue(), mtime=0)


@pytest.fixture
def plain(server: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Two small files that are published as they are, under the name adult."""
    packages = tuple(
        Package(name, "plain", (raw_file(name, body),), (f"{server.url}/uci/{name}",)) for name, body in PLAIN.items()
    )
    monkeypatch.setitem(CATALOG, "adult", CATALOG["adult"]._replace(packages=packages))
    for name, body in PLAIN.items():
        server.answers[f"/uci/{name}"] = [server.content(body)]
    return PLAIN


@pytest.fixture
def archive(server: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small archive under the name cifar10; its address does not end in its name."""
    files = tuple(raw_file(name, body) for name, body in BATCHES.items())
    package = Package(ARCHIVE, "tar", files, (f"{server.url}/files/1",), "inside")
    monkeypatch.setitem(CATALOG, "cifar10", CATALOG["cifar10"]._replace(packages=(package,)))
    server.answers["/files/1"] = [server.content(packed_as_tar(BATCHES))]
    return BATCHES


def test_plain_files_are_published_and_kept_in_the_cache_as_they_are(
    plain: dict[str, bytes], server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    assert contents(get("adult")) == plain == contents(tmp_path / "cache" / "adult")
    assert server.requests == {"/uci/adult.data": 1, "/uci/adult.test": 1}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (PLAIN["adult.data"][:-1], "699 bytes unpacked, not 700"),
        (PLAIN["adult.data"] + b"x", "701 bytes unpacked, not 700"),
        (flipped(PLAIN["adult.data"]), "wrong content: sha256"),
        (b"", "0 bytes unpacked"),
    ],
)
def test_a_plain_file_with_other_content(
    body: bytes, fault: str, plain: dict[str, bytes], server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    right = server.answers["/uci/adult.data"][0]
    server.answers["/uci/adult.data"] = [server.content(body)]
    with pytest.raises(WellfitError, match=rf"adult/adult.data could not be fetched .*{fault}.* \(3 tries\)"):
        get("adult")
    assert_nothing_left(tmp_path / "raw")
    server.answers["/uci/adult.data"] = [server.content(body), right]
    assert contents(get("adult")) == plain


def test_an_archive_with_several_files_is_downloaded_once_and_kept_as_it_is(
    archive: dict[str, bytes], server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    assert contents(get("cifar10")) == archive
    assert server.requests == {"/files/1": 1}
    assert contents(tmp_path / "cache" / "cifar10") == {ARCHIVE: packed_as_tar(archive)}
    shutil.rmtree(tmp_path / "raw")
    assert contents(get("cifar10")) == archive, "out of the cache"
    assert contents(get("cifar10")) == archive, "as it is there"
    assert server.requests == {"/files/1": 1}


def test_an_archive_behind_redirects(archive: dict[str, bytes], server: Any, get: Callable[..., Path]) -> None:
    server.answers["/elsewhere"] = server.answers["/files/1"]
    server.answers["/files/1"] = [server.content(b"", status=302, Location="/elsewhere")]
    assert contents(get("cifar10")) == archive


def bad_archives(archive: dict[str, bytes]) -> dict[str, tuple[bytes, str]]:
    whole = packed_as_tar(archive)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0x10
    last = flipped(archive["last.bin"])
    return {
        "truncated": (whole[:-20], "damaged: "),
        "flipped byte": (bytes(damaged), "damaged: |wrong content: "),
        "flipped byte inside": (packed_as_tar({**archive, "last.bin": last}), "wrong content: sha256"),
        "missing member": (packed_as_tar(dict(list(archive.items())[:-1])), "no inside/last.bin in it"),
        "another folder": (packed_as_tar(archive, "outside"), "no inside/data_batch_1.bin in it"),
        "a way out": (packed_as_tar({"../../out": b"x", **archive}), "no file or folder below it"),
        "too long inside": (packed_as_tar({"zeros": bytes(1_000_000), **archive}), "more than .* bytes unpacked"),
        "endless": (bytes(1_000_000), "wrong content: more than"),
        "web page": (b"<html>log in to the hotel's network</html>", "damaged: "),
    }


def test_an_own_file_stays_where_it_is_and_is_noted(get: Callable[..., Path], tmp_path: Path) -> None:
    source = tmp_path / "own.csv"
    source.write_text("a,b\n1,2\n")
    folder = get("csv", path=str(source), target="b")
    assert [path.name for path in folder.iterdir()] == ["source.json"]
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    assert json.loads((folder / "source.json").read_text()) == {"path": str(source), "bytes": 8, "sha256": sha256}


def test_an_own_folder_of_images_is_looked_at(get: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "1.png").touch()
    folder = get("images", path=str(tmp_path / "pets"))
    noted = json.loads((folder / "source.json").read_text())
    assert noted == {"path": str(tmp_path / "pets"), "images": 2, "classes": ["cat", "dog"]}


@pytest.mark.parametrize("name", ["csv", "parquet", "images"])
def test_own_data_that_are_not_there(name: str, get: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(WellfitError, match=r"data\.path .*gone (not found|does not exist)"):
        get(name, path=str(tmp_path / "gone"), target="b")
    assert_nothing_left(tmp_path / "raw")


@pytest.mark.parametrize("fault", bad_archives(BATCHES))
def test_a_bad_archive_is_followed_by_another_try_or_leaves_nothing(
    fault: str, archive: dict[str, bytes], server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    body, reason = bad_archives(archive)[fault]
    right = server.answers["/files/1"][0]
    server.answers["/files/1"] = [server.content(body)]
    with pytest.raises(
        WellfitError, match=rf"cifar10/{ARCHIVE} could not be fetched .*({reason}).*\(2 tries\)"
    ) as raised:
        get("cifar10", retries=1)
    assert "\n" not in str(raised.value)
    assert_nothing_left(tmp_path / "raw")
    assert not (tmp_path / "cache").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]
    server.answers["/files/1"] = [server.content(body), right]
    assert contents(get("cifar10")) == archive


@pytest.mark.parametrize("place", ["mirror", "cache"])
def test_a_mirror_folder_and_the_cache_may_hold_files_unpacked(
    place: str,
    archive: dict[str, bytes],
    published: Any,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    published.write_raw(tmp_path / place / "fashion_mnist")
    (tmp_path / place / "cifar10").mkdir()
    for name, body in archive.items():
        (tmp_path / place / "cifar10" / name).write_bytes(body)
    monkeypatch.setenv("WELLFIT_MIRROR", str(tmp_path / "mirror"))
    assert contents(get()) == published.contents
    assert contents(get("cifar10")) == archive
    assert not server.requests
    shown = capsys.readouterr().out
    assert f"mirror {tmp_path}/mirror/cifar10/{ARCHIVE}: not there\n" in shown
    assert f"{place} {tmp_path}/{place}/cifar10/test_batch.bin\n" in shown, "where it came from after all"


def test_a_mirror_url_may_hold_files_unpacked(
    archive: dict[str, bytes],
    server: Any,
    second_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[..., Path],
    tmp_path: Path,
) -> None:
    for name, body in archive.items():
        second_server.answers[f"/cifar10/{name}"] = [second_server.content(body)]
    monkeypatch.setenv("WELLFIT_MIRROR", second_server.url)
    assert contents(get("cifar10")) == archive == contents(tmp_path / "cache" / "cifar10")
    assert not server.requests
    monkeypatch.delenv("WELLFIT_MIRROR")
    shutil.rmtree(tmp_path / "raw")
    assert contents(get("cifar10")) == archive, "out of the cache"
    assert not server.requests


def test_a_mirror_may_hold_the_archive(
    archive: dict[str, bytes], server: Any, monkeypatch: pytest.MonkeyPatch, get: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "mirror" / "cifar10").mkdir(parents=True)
    (tmp_path / "mirror" / "cifar10" / ARCHIVE).write_bytes(packed_as_tar(archive))
    monkeypatch.setenv("WELLFIT_MIRROR", str(tmp_path / "mirror"))
    assert contents(get("cifar10")) == archive
    assert not server.requests
    assert not (tmp_path / "cache").exists()


def test_a_mirror_with_some_of_the_files_unpacked_is_completed_by_the_publisher(
    archive: dict[str, bytes], server: Any, monkeypatch: pytest.MonkeyPatch, get: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "mirror" / "cifar10").mkdir(parents=True)
    (tmp_path / "mirror" / "cifar10" / "data_batch_1.bin").write_bytes(archive["data_batch_1.bin"])
    (tmp_path / "mirror" / "cifar10" / "data_batch_2.bin").write_bytes(flipped(archive["data_batch_2.bin"]))
    monkeypatch.setenv("WELLFIT_MIRROR", str(tmp_path / "mirror"))
    assert contents(get("cifar10")) == archive
    assert server.requests == {"/files/1": 1}


def test_a_bad_archive_in_the_cache_is_replaced(
    archive: dict[str, bytes], server: Any, get: Callable[..., Path], tmp_path: Path
) -> None:
    cached = tmp_path / "cache" / "cifar10" / ARCHIVE
    cached.parent.mkdir(parents=True)
    cached.write_bytes(packed_as_tar({**archive, "last.bin": b"other"}))
    assert contents(get("cifar10")) == archive
    assert cached.read_bytes() == packed_as_tar(archive)


def test_a_bad_download_before_a_good_place_leaves_nothing_behind(
    archive: dict[str, bytes],
    server: Any,
    second_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    get: Callable[..., Path],
) -> None:
    second_server.answers[f"/cifar10/{ARCHIVE}"] = [second_server.content(packed_as_tar({}))]
    monkeypatch.setenv("WELLFIT_MIRROR", second_server.url)
    assert contents(get("cifar10")) == archive
    assert second_server.requests == {f"/cifar10/{ARCHIVE}": 3}, "not asked for other forms of what it has"


def test_files_of_an_archive_are_fetched_anew_when_they_are_damaged(
    archive: dict[str, bytes], server: Any, get: Callable[..., Path]
) -> None:
    folder = get("cifar10")
    (folder / "test_batch.bin").write_bytes(flipped(archive["test_batch.bin"]))
    assert contents(get("cifar10")) == archive


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["fashion_mnist", "adult", "california_housing"])
def test_the_real_files_of_the_mirror(
    name: str, get: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = get(name)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sizes == {file.name: file.size for file in CATALOG[name].files}
    hashes = [hashlib.sha256((folder / file.name).read_bytes()).hexdigest() for file in CATALOG[name].files]
    assert hashes == [file.sha256 for file in CATALOG[name].files]
    assert "publisher" not in capsys.readouterr().out
