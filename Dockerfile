# The pipeline, with the packages that requirements.lock pins.
#
#   docker build --tag wellfit .
#   docker run --rm --volume wellfit:/project wellfit                            # dvc repro
#   docker run --rm --volume wellfit:/project wellfit wellfit train --lr 0.01    # any command
#   docker run --rm --volume wellfit:/project --network host wellfit wellfit ui
#
# The volume keeps what is made: data, models, reports, MLflow's store, DVC's cache. A folder of your own with params.yaml
# does as well: --volume "$PWD:/project" --user "$(id -u):$(id -g)". On a GPU: --gpus all.
FROM python:3.11-slim

# git is for a folder of your own that is a repository: its commit stands in reports, and experiments need it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home wellfit \
    && chmod 1777 /home/wellfit \
    && mkdir /project \
    && chown wellfit:wellfit /project

# USER: a --user may have no name, and DVC asks for it.
ENV USER=wellfit HOME=/home/wellfit VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH
WORKDIR /project
COPY requirements.lock /tmp/
RUN python3 -m venv /opt/venv \
    && sed -n '/^uv==/,/^ *#/p' /tmp/requirements.lock >/tmp/uv.txt \
    && pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/uv.txt \
    && uv pip sync --no-cache --require-hashes --compile-bytecode \
        --build-constraints /tmp/requirements.lock /tmp/requirements.lock
COPY --chown=wellfit:wellfit . /project/
RUN uv pip install --no-cache --no-deps --no-build-isolation --compile-bytecode /project

USER wellfit
# The image has no repository, and DVC shall not look for one.
RUN dvc config --local core.no_scm true
VOLUME /project
CMD ["dvc", "repro"]
