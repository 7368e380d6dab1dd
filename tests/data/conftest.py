"""A local web server whose answers a test writes, and a small published data set for it to serve."""

import gzip
import hashlib
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wellfit.data.catalog import CATALOG, IDX_FILES
from wellfit.data.fetch import FetchConfig, fetch
from wellfit.data.raw import Entry, Package, RawFile
from wellfit.data.settings import DataConfig
from wellfit.settings.params import load_params

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers a path with the next of its answers; the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: Counter[str] = Counter()
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests[self.path] += 1
                answers = server.answers.get(self.path, [missing])
                (answers.pop(0) if len(answers) > 1 else answers[0])(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A client that hangs up is what these tests are about."""

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.http.server_port}"

    @staticmethod
    def content(body: bytes, *, status: int = 200, length: int | None = None, **headers: str) -> Answer:
        """An answer with a body; ``length`` is what the header claims, by default the truth."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(body) if length is None else length))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)

        return answer

    def use_tls(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.scheme = "https"

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def missing(handler: BaseHTTPRequestHandler) -> None:
    Server.content(b"", status=404)(handler)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def second_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _own_cache_and_no_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WELLFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def data_config() -> Callable[..., DataConfig]:
    def make(name: str = "moons", **changes: Any) -> DataConfig:
        shipped = load_params(PARAMS_FILE).data.model_dump()
        return DataConfig.model_validate(shipped | {"name": name, "n_samples": 200, "noise": 0.1} | changes)

    return make


class Published:
    """A data set of 40 train and 10 test images of 2 x 2 pixels, and its entry in the catalogue."""

    def __init__(self, address: str) -> None:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (50, 2, 2), dtype=np.uint8)
        labels = np.arange(50, dtype=np.uint8) % 2
        self.parts = [images[:40], labels[:40], images[40:], labels[40:]]
        self.address = address
        self.first = IDX_FILES[0][0]
        self.first_path = f"/publisher/{self.first}.gz"

    @property
    def contents(self) -> dict[str, bytes]:
        return {name: idx(part) for (name, _), part in zip(IDX_FILES, self.parts, strict=True)}

    @property
    def entry(self) -> Entry:
        return self.entry_at(self.address)

    def entry_at(self, *addresses: str) -> Entry:
        packages = tuple(
            Package(
                name=f"{name}.gz",
                container="gzip",
                files=(RawFile(name, len(body), hashlib.sha256(body).hexdigest()),),
                addresses=tuple(f"{address}/{name}.gz" for address in addresses),
            )
            for name, body in self.contents.items()
        )
        return CATALOG["mnist"]._replace(class_names=("even", "odd"), packages=packages)

    def write_packed(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in self.contents.items():
            (folder / f"{name}.gz").write_bytes(self.packed(body))

    def write_raw(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in self.contents.items():
            (folder / name).write_bytes(body)

    @staticmethod
    def packed(body: bytes) -> bytes:
        return gzip.compress(body, mtime=0)

    def register(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(CATALOG, "fashion_mnist", self.entry)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def published(server: Server, monkeypatch: pytest.MonkeyPatch) -> Published:
    """The small data set under the name fashion_mnist, served by the local server in place of its publisher."""
    published = Published(f"{server.url}/publisher")
    published.register(monkeypatch)
    for name, body in published.contents.items():
        server.answers[f"/publisher/{name}.gz"] = [server.content(published.packed(body))]
    return published


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wellfit.data.fetch.FIRST_PAUSE", 0.001)


@pytest.fixture
def get(data_config: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """Fetches the small data set and returns the folder that should then be there."""

    def run(name: str = "fashion_mnist", timeout: float = 5.0, retries: int = 2, **changes: Any) -> Path:
        fetch(data_config(name, **changes), FetchConfig(timeout=timeout, retries=retries), tmp_path / "raw")
        return tmp_path / "raw" / name

    return run


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encryption = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    return paths
