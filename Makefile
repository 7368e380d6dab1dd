# `make` lists what can be made. Needs Python >= 3.11 and GNU make 3.81 or newer, nothing else.

PORT ?= 5000
ARGS ?=

BIN := $(CURDIR)/.venv/bin
# What activating .venv does; the stages that DVC and MLflow start find their Python by it.
ACTIVE := env -u PYTHONHOME VIRTUAL_ENV="$(CURDIR)/.venv" PATH="$(BIN):$$PATH"

.DEFAULT_GOAL := help
.PHONY: help setup repro test check ui notebooks docs lock

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /    make \1	/p' Makefile
	@echo 'PYTHON=python3.12 names the Python that set-up uses.'

setup:  ## install everything into .venv (the others do this first, and it does nothing when all is there)
	@sh setup.sh

repro: setup  ## run the whole pipeline: fetch, preprocess, baseline, tune, train, evaluate
	@$(ACTIVE) dvc repro $(ARGS)
	@echo 'The run as one page: reports/report.html   Scores: reports/evaluate/metrics.json   All runs: make ui'

test: setup  ## run the tests (ARGS="-k name", ARGS="-m slow")
	@$(ACTIVE) OMP_NUM_THREADS=1 pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup  ## lint, formatting and types
	@$(ACTIVE) ruff check
	@$(ACTIVE) ruff format --check
	@$(ACTIVE) mypy

ui: setup  ## MLflow's pages on http://127.0.0.1:5000 (PORT=5001)
	@echo 'The runs: http://127.0.0.1:$(PORT)/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=runs'
	@test -f mlflow.db || $(ACTIVE) python -c 'from wellfit.tracking import open_store; open_store()'
	@$(ACTIVE) MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false PYTHONWARNINGS=ignore mlflow ui --host 127.0.0.1 --port $(PORT)

notebooks: setup  ## notebooks/ in JupyterLab, which the first call adds to .venv
	@test -x "$(BIN)/jupyter-lab" || $(ACTIVE) uv pip install --quiet --constraint requirements.lock jupyterlab
	@$(ACTIVE) jupyter lab $(ARGS) notebooks

docs: setup  ## write docs/comparisons/ from reports/comparisons/
	@$(ACTIVE) python -m wellfit.compare.docs

lock:  ## pin again what pyproject.toml asks for (ARGS=--upgrade for the newest versions)
	@test -x "$(BIN)/uv" || sh setup.sh
	@$(ACTIVE) uv pip compile pyproject.toml --universal --fork-strategy fewest --all-extras --generate-hashes \
		--no-header --no-emit-index-url --quiet $(ARGS) --output-file requirements.lock
