"""The preprocess stage: three splits as arrays, and the statistics of the first."""

from pathlib import Path

from wellfit.data.features import features_folder
from wellfit.data.fetch import fetch
from wellfit.data.prepare import describe, prepare
from wellfit.data.readers.image_checks import BAD_FILES
from wellfit.errors import BadFilesError, WellfitError
from wellfit.files import write_csv
from wellfit.settings.params import Params


def preprocess(params: Params, raw: Path, out: Path) -> None:
    """Writes ``out/<data.name>/`` and says what is in it.

    Args:
        params: the configuration.
        raw: the folder of all raw data.
        out: the folder of all processed data.

    Raises:
        WellfitError: the raw data are missing or damaged, or cannot be split as asked. Where there are several images
            that cannot be read, ``out/<data.name>.bad_files.csv`` lists them.
    """
    bad_files = out / f"{params.data.name}.{BAD_FILES}"
    bad_files.unlink(missing_ok=True)
    try:
        meta = prepare(params.data, raw, out)
    except BadFilesError as error:
        if len(error.files) == 1:
            raise
        write_csv(bad_files, ["file", "fault"], error.files)
        raise WellfitError(f"{error}; all are listed in {bad_files}") from None
    sizes = ", ".join(f"{size:,} {name}" for name, size in meta.split_sizes.items())
    folds = f", train and val in {params.data.folds} folds" if params.data.folds else ""
    print(f"prepared {meta.name} in {out / meta.name}: {sizes} rows{folds}")
    print("\n".join([*describe(meta), *(f"warning: {sentence}" for sentence in meta.warnings)]))


def prepared(params: Params) -> Path:
    """The folder of the processed data, which are fetched and prepared first where there are none of that name.

    For scripts that DVC does not run; for its stages it does as much.

    Args:
        params: the configuration.

    Raises:
        WellfitError: the data cannot be had, or not be split as asked.
    """
    raw, processed = Path("data/raw"), Path("data/processed")
    folder = processed / params.data.name
    if not folder.exists():
        fetch(params.data, params.fetch, raw)
        preprocess(params, raw, processed)
    if params.model.is_pretrained and not features_folder(folder).exists():
        from wellfit.stages.features import features

        features(params, folder)
    return folder
