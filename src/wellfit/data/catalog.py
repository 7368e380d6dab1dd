"""The data sets that can be asked for by name."""

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["images", "table"]
Task = Literal["classification", "regression"]


class RawFile(NamedTuple):
    """A file as it stands in ``data/raw/<data set>/``: unpacked, for containers differ from mirror to mirror.

    Attributes:
        name: without a folder.
        size: bytes.
        digest: of the content, with the algorithm before it: ``sha256:<hexadecimal digits>``, or ``md5:...`` where the
            publisher gives no other.
    """

    name: str
    size: int
    digest: str


class Package(NamedTuple):
    """What is downloaded at once: one raw file, packed or not, or an archive with one or more in it.

    Attributes:
        name: of the published file, which is also its name in a mirror and in the cache.
        container: how the raw files stand in it: as they are, packed with gzip, or as members of a tar archive (which
            may itself be packed with gzip).
        files: the raw files in it.
        addresses: where its publishers have it, asked in turn.
        folder: of the members in a tar archive.
    """

    name: str
    container: Literal["plain", "gzip", "tar"]
    files: tuple[RawFile, ...]
    addresses: tuple[str, ...] = ()
    folder: str = ""


class Entry(NamedTuple):
    """What is known of a data set before it is fetched.

    Attributes:
        kind: images or table.
        task: classification or regression; None where the data themselves must tell.
        target_name: what is to be predicted.
        source: who made the data, and where they are described.
        licence: under which it may be used.
        class_names: by class index, where the data themselves do not say them.
        packages: what is downloaded; empty for data that scikit-learn ships or generates.
    """

    kind: Kind
    task: Task | None
    target_name: str
    source: str
    licence: str
    class_names: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()

    @property
    def files(self) -> tuple[RawFile, ...]:
        """The raw files, in the order of the packages."""
        return tuple(file for package in self.packages for file in package.files)


def has_digest(path: Path, digest: str) -> bool:
    """Whether the content of a file has a digest such as `RawFile` gives it.

    Raises:
        OSError: the file is missing or cannot be read.
    """
    algorithm, _, expected = digest.partition(":")
    with path.open("rb") as stream:
        # Not for security: a system under FIPS rules refuses md5 otherwise.
        actual = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return actual.hexdigest() == expected


UCI_LICENCE = "CC BY 4.0 (UCI Machine Learning Repository)"
GENERATED_LICENCE = "none needed: generated"

# Names and sizes of the files follow from the IDX format: 60,000 and 10,000 images of 28 x 28 bytes, and their labels.
IDX_FILES = (
    ("train-images-idx3-ubyte", 47_040_016),
    ("train-labels-idx1-ubyte", 60_008),
    ("t10k-images-idx3-ubyte", 7_840_016),
    ("t10k-labels-idx1-ubyte", 10_008),
)


def _idx_packages(folders: tuple[str, ...], *sha256: str) -> tuple[Package, ...]:
    return tuple(
        Package(
            name=f"{name}.gz",
            container="gzip",
            files=(RawFile(name, size, f"sha256:{digest}"),),
            addresses=tuple(f"{folder}/{name}.gz" for folder in folders),
        )
        for (name, size), digest in zip(IDX_FILES, sha256, strict=True)
    )


def _adult_package(name: str, size: int, sha256: str) -> Package:
    address = f"https://archive.ics.uci.edu/ml/machine-learning-databases/adult/{name}"
    return Package(name, "plain", (RawFile(name, size, f"sha256:{sha256}"),), (address,))


CATALOG: dict[str, Entry] = {
    "digits": Entry(
        kind="images",
        task="classification",
        target_name="digit",
        source="Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, https://doi.org/10.24432/C50P49",
        licence=UCI_LICENCE,
    ),
    "wine": Entry(
        kind="table",
        task="classification",
        target_name="cultivar",
        source="Aeberhard and Forina 1992, Wine, https://doi.org/10.24432/C5PC7J",
        licence=UCI_LICENCE,
    ),
    "breast_cancer": Entry(
        kind="table",
        task="classification",
        target_name="diagnosis",
        source="Wolberg et al. 1995, Breast Cancer Wisconsin (Diagnostic), https://doi.org/10.24432/C5DW2B",
        licence=UCI_LICENCE,
    ),
    "diabetes": Entry(
        kind="table",
        task="regression",
        target_name="disease_progression",
        source="Efron et al. 2004, Least Angle Regression, https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html",
        licence="not stated by its authors; distributed with scikit-learn (BSD-3-Clause)",
    ),
    "moons": Entry(
        kind="table",
        task="classification",
        target_name="moon",
        source="generated by sklearn.datasets.make_moons",
        licence=GENERATED_LICENCE,
        class_names=("upper", "lower"),
    ),
    "regression": Entry(
        kind="table",
        task="regression",
        target_name="y",
        source="generated by sklearn.datasets.make_regression",
        licence=GENERATED_LICENCE,
    ),
    "imbalanced": Entry(
        kind="table",
        task="classification",
        target_name="group",
        source="generated by sklearn.datasets.make_classification",
        licence=GENERATED_LICENCE,
        class_names=("majority", "minority"),
    ),
    "adult": Entry(
        kind="table",
        task="classification",
        target_name="income",
        source="Becker and Kohavi 1996, Adult, https://doi.org/10.24432/C5XW20",
        licence=UCI_LICENCE,
        class_names=("<=50K", ">50K"),
        packages=(
            _adult_package("adult.data", 3_974_305, "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d"),
            _adult_package("adult.test", 2_003_153, "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05"),
        ),
    ),
    "california_housing": Entry(
        kind="table",
        task="regression",
        target_name="median house value in 100,000 US dollars",
        source="Pace and Barry 1997, Sparse Spatial Autoregressions, https://doi.org/10.1016/S0167-7152(96)00140-X",
        licence="public (StatLib)",
        packages=(
            Package(
                name="cal_housing.tgz",
                container="tar",
                files=(
                    RawFile(
                        "cal_housing.data",
                        2_092_122,
                        "sha256:d3d8a1a722ae78f91134862727d27a70b1415e7d512a89140406248687f4b902",
                    ),
                ),
                addresses=("https://ndownloader.figshare.com/files/5976036",),
                folder="CaliforniaHousing",
            ),
        ),
    ),
    "fashion_mnist": Entry(
        kind="images",
        task="classification",
        target_name="article",
        source="Xiao, Rasul and Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT (Zalando SE)",
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        packages=_idx_packages(
            ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    "mnist": Entry(
        kind="images",
        task="classification",
        target_name="digit",
        source="LeCun, Cortes and Burges 1998, http://yann.lecun.com/exdb/mnist/",
        licence="not stated by its publishers; commonly given as CC BY-SA 3.0",
        class_names=tuple("0123456789"),
        packages=_idx_packages(
            ("https://ossci-datasets.s3.amazonaws.com/mnist", "http://yann.lecun.com/exdb/mnist"),
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "cifar10": Entry(
        kind="images",
        task="classification",
        target_name="object",
        source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, "
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        licence="not stated by its authors",
        packages=(
            Package(
                name="cifar-10-python.tar.gz",
                container="tar",
                files=(
                    RawFile("data_batch_1", 31_035_704, "md5:c99cafc152244af753f735de768cd75f"),
                    RawFile("data_batch_2", 31_035_320, "md5:d4bba439e000b95fd0a9bffe97cbabec"),
                    RawFile("data_batch_3", 31_035_999, "md5:54ebc095f3ab1f0389bbae665268c751"),
                    RawFile("data_batch_4", 31_035_696, "md5:634d18415352ddfa80567beed471001a"),
                    RawFile("data_batch_5", 31_035_623, "md5:482c414d41f54cd18b22e5b47cb7c3cb"),
                    RawFile("test_batch", 31_035_526, "md5:40351d587109b95175f43aff81a1287e"),
                    RawFile("batches.meta", 158, "md5:5ff9c542aee3614f3951f8cda6e48888"),
                ),
                addresses=("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
                folder="cifar-10-batches-py",
            ),
        ),
    ),
    "csv": Entry(kind="table", task=None, target_name="data.target", source="your own file", licence="your own"),
    "parquet": Entry(kind="table", task=None, target_name="data.target", source="your own file", licence="your own"),
    "images": Entry(
        kind="images", task="classification", target_name="class", source="your own folder", licence="your own"
    ),
}
