# `make` lists what can be made. Needs Python >= 3.11 and GNU make 3.81 or newer, nothing else.

PORT ?= 5000
ARGS ?=
TESTS = OMP_NUM_THREADS=1 pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
# Of the layers that need no other process what takes no minute; of those above, a training that is evaluated.
QUICK := tests/test_architecture.py tests/settings tests/data tests/metrics tests/models tests/training \
	'tests/stages/test_evaluate.py::test_metrics_are_those_of_the_contract[moons]' \
	$(patsubst %,--ignore=tests/%.py,models/test_vision training/test_cores training/test_learner_pack \
	training/test_learner_precision training/test_runtime)

BIN := $(CURDIR)/.venv/bin
# What activating .venv does; the stages that DVC and MLflow start find their Python by it.
# A user of a container may have no name and no home, without which DVC does not start.
ACTIVE := env -u PYTHONHOME VIRTUAL_ENV="$(CURDIR)/.venv" PATH="$(BIN):$$PATH" USER="$${USER:-$$(id -u)}" \
	HOME="$${HOME:-$(CURDIR)/.wellfit/home}"

.DEFAULT_GOAL := help
.PHONY: help setup repro test quick faults check ui notebooks findings docs lock

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /    make \1	/p' Makefile
	@echo 'PYTHON=python3.12 names the Python that set-up uses.'

setup:  ## install everything into .venv (the others do this first, and it does nothing when all is there)
	@sh setup.sh

repro: setup  ## run the whole pipeline: fetch, preprocess, baseline, tune, train, evaluate
	@$(ACTIVE) dvc repro $(ARGS)
	@git diff --quiet -- reports 2>/dev/null; [ $$? -ne 1 ] || echo 'Scores differ from the committed ones, which is' \
		'expected on another machine (docs/pipeline.md): dvc metrics diff'
	@echo 'The run as one page: reports/report.html   Scores: reports/evaluate/metrics.json   All runs: make ui'

test: setup  ## run the tests (ARGS="-k name", ARGS="-m slow")
	@$(if $(ARGS),,echo 'All tests take about ten minutes on two cores; make quick takes two.')
	@$(ACTIVE) $(TESTS) $(ARGS)

quick: setup  ## tests of all but stages, tuning, serving and reports, and one training (about two minutes)
	@$(ACTIVE) $(TESTS) $(QUICK) $(ARGS)

faults: setup  ## kill, damage and fill up what runs, and look what comes of it (ten minutes; SEED=3 N=10 KIND=kills)
	@$(ACTIVE) python -m tests.faults $(if $(SEED),--seed $(SEED)) $(if $(N),--rounds $(N)) $(if $(KIND),--kind $(KIND)) \
		$(if $(ROUND),--only $(ROUND))

check: setup  ## lint, formatting and types
	@$(ACTIVE) ruff check
	@$(ACTIVE) ruff format --check
	@$(ACTIVE) mypy

ui: setup  ## MLflow's pages on http://127.0.0.1:5000 (PORT=5001)
	@$(ACTIVE) wellfit ui --port $(PORT)

notebooks: setup  ## notebooks/ in JupyterLab, which the first call adds to .venv
	@test -x "$(BIN)/jupyter-lab" || $(ACTIVE) uv pip install --quiet --constraint requirements.lock jupyterlab
	@$(ACTIVE) jupyter lab $(ARGS) notebooks

findings: setup  ## write docs/comparisons/ from reports/comparisons/
	@$(ACTIVE) python -m wellfit.compare.docs

docs: setup  ## make a site of docs/, into site/
	@$(ACTIVE) zensical build --clean --config-file mkdocs.yml

lock:  ## pin again what pyproject.toml asks for (ARGS=--upgrade for the newest versions)
	@test -x "$(BIN)/uv" || sh setup.sh
	@$(ACTIVE) uv pip compile pyproject.toml --universal --fork-strategy fewest --all-extras --generate-hashes \
		--no-header --no-emit-index-url --quiet $(ARGS) --output-file requirements.lock
