import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wellfit.data import fetch as module
from wellfit.data.catalog import CATALOG
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
    addresses = (f"{server.url}/gone", published.address)
    monkeypatch.setitem(CATALOG, "fashion_mnist", published.entry._replace(addresses=addresses))
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


@pytest.mark.parametrize("name", ["moons", "regression"])
def test_generated_data_depend_on_their_params_alone(name: str, get: Callable[..., Path], tmp_path: Path) -> None:
    first = contents(get(name))
    assert contents(get(name)) == first
    assert contents(get(name, seed=1)) != first
    assert contents(get(name, noise=0.2)) != first
    assert contents(get(name, n_samples=100)) != first
    assert [path.name for path in (tmp_path / "raw").iterdir()] == [name]


@pytest.mark.real_data
def test_the_real_files_of_the_mirror(get: Callable[..., Path]) -> None:
    folder = get()
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == {
        file.name: file.size for file in CATALOG["fashion_mnist"].files
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
