# One command does everything: `make run`. Each target first prints what it does.
# The environment .venv is created from the committed lock files only, and updated when they change.
#
# Linux without a GPU: the ordinary torch package brings gigabytes of CUDA. To install PyTorch's CPU build instead, point
# pip at PyTorch's CPU wheel index before the first `make`:  PIP_EXTRA_INDEX_URL=<that index> make run

PYTHON ?= python3
MLFLOW_PORT ?= 5000
PREFECT_PORT ?= 4200
TESTS ?= tests
FAULTS_CYCLES ?= 4
SCREENSHOTS ?= $(CURDIR)/out/screenshots

VENV := .venv
BIN := $(VENV)/bin
INCEPTION := .venv-inception
# In a recipe that makes VENV/something:
LOG = $(@D)/install.log
PIP = $(@D)/bin/python -m pip install --quiet --no-input --no-compile --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# Some container images disable Python's bytecode cache; with it, each of the many processes starts four times faster.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help run serve ui test test-unit test-faults test-inception test-team lint secrets audit docs lock clean

help: ## List the targets.
	@echo "make TARGET, where TARGET is:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	@echo "Linux without a GPU: see the top of the Makefile for a smaller installation."

run: $(VENV)/.run ## Bring everything up to date: data, model, scores, registered version, champion.
	@echo "make run: data, stages, record, registration and promotion; what has not changed is not done again"
	@$(BIN)/ddpm run

serve: $(VENV)/.run ## Retrain on schedule and on demand, with both pages (MLFLOW_PORT, PREFECT_PORT), until Ctrl-C.
	@echo "make serve: the retraining service on the schedule of params.yaml; Ctrl-C ends it"
	@$(BIN)/ddpm serve --mlflow-port $(MLFLOW_PORT) --prefect-port $(PREFECT_PORT)

ui: $(VENV)/.run ## Show MLflow's and Prefect's pages on 127.0.0.1 (MLFLOW_PORT, PREFECT_PORT) until Ctrl-C.
	@echo "make ui: MLflow's and Prefect's pages on 127.0.0.1; Ctrl-C ends both"
	@$(BIN)/ddpm ui --mlflow-port $(MLFLOW_PORT) --prefect-port $(PREFECT_PORT)

test: $(VENV)/.dev ## Run all tests (TESTS=tests/func/flows for a part).
	@scripts/chromium.sh
	@echo "make test: pytest $(TESTS), files of tests side by side"
	@DDPM_SCREENSHOTS=$(SCREENSHOTS) $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(TESTS)

test-unit: $(VENV)/.dev ## Run the tests that start no process (three minutes).
	@echo "make test-unit: pytest tests/unit"
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile tests/unit

test-faults: $(VENV)/.dev ## Kill processes at random moments: five rounds a cycle (FAULTS_CYCLES=4, ten minutes).
	@echo "make test-faults: $(FAULTS_CYCLES) cycles of five rounds"
	@DDPM_FAULTS_CYCLES=$(FAULTS_CYCLES) $(BIN)/python -m pytest tests/func/faults/test_killed.py

test-inception: $(INCEPTION)/.installed ## Run the tests that need torchvision, in an environment of its own (5.5 GB).
	@echo "make test-inception: pytest tests/inception in $(INCEPTION)"
	@$(INCEPTION)/bin/python -m pytest --confcutdir tests/inception tests/inception

test-team: $(VENV)/.dev ## Run a small pipeline through a team's servers (installs PostgreSQL as root if it is missing).
	@echo "make test-team: MLflow and Prefect on PostgreSQL, data and artifacts in S3, without containers"
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || [ "$$(id -u)" != 0 ] || \
	    { apt-get update -qq && apt-get install -qq --yes --no-install-recommends postgresql; } >/dev/null
	@$(BIN)/python -m pytest tests/func/docker

lint: $(VENV)/.dev ## Check style, format and types; look for secrets and known vulnerabilities.
	@echo "make lint: ruff check, ruff format --check, mypy"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(MAKE) secrets audit

secrets: $(VENV)/.dev ## Look for secrets in what git keeps, against .secrets.baseline (offline).
	@echo "make secrets: detect-secrets"
	@$(BIN)/python scripts/find_secrets.py

audit: $(VENV)/.dev ## Ask PyPI for known vulnerabilities of the locked versions, if it answers.
	@echo "make audit: pip-audit"
	@$(BIN)/python scripts/audit.py requirements-dev.lock

docs: $(VENV)/.dev ## Write docs/samplers.md, and API pages of all packages from their docstrings (build/docs).
	@echo "make docs: docs/samplers.md from the table of samplers; pdoc, into build/docs"
	@$(BIN)/python scripts/samplers_page.py docs/samplers.md
	@$(BIN)/python scripts/api_docs.py build/docs

lock: ## Refresh the lock files from pyproject.toml (needs uv on PATH).
	@echo "make lock: resolving pyproject.toml into the four lock files"
	@scripts/lock.sh

clean: ## Remove everything that can be rebuilt: outputs, caches, environments. Data, models and records stay.
	@echo "make clean: removing out/, caches, $(VENV) and $(INCEPTION); data/, .dvc/cache and .state/ (models, records) stay"
	@rm -rf out $(VENV) $(INCEPTION) .pytest_cache .mypy_cache .ruff_cache build dist src/*.egg-info
	@find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python $(INCEPTION)/bin/python: VENV_OF = $(@D:/bin=)
$(BIN)/python $(INCEPTION)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
	    { echo "error: this needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing)." \
	           "Name another: make PYTHON=python3.12 ..."; exit 1; }
	@echo "make: creating $(VENV_OF) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV_OF) || \
	    { rm -rf $(VENV_OF); echo "error: $(PYTHON) cannot make a virtual environment;" \
	           "on Debian and Ubuntu: apt install python3-venv"; exit 1; }

# $(call install,LOCKFILE,WHAT), in a recipe that makes VENV/something
define install
	@echo "make: installing $(2) from $(1) into $(@D) (about a minute, plus the download)"
	@{ $(PIP) -r $(1) && $(PIP) --no-deps --no-build-isolation -e .; } >$(LOG) 2>&1 || \
	    { grep -v '^WARNING: Location' $(LOG) | tail -n 15; \
	      echo "error: the installation failed; pip's full output is in $(LOG)"; exit 1; }
	@touch $@
endef

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock,the packages)

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock,the packages and those of the tests)
	@touch $(VENV)/.run

$(INCEPTION)/.installed: requirements-inception.lock pyproject.toml | $(INCEPTION)/bin/python
	$(call install,requirements-inception.lock,the packages of the Inception tests)
