# `make help` says everything.
PYTHON ?= python3
VENV ?= .venv
PIP_OPTIONS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

help:  ## Show what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Leadline needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is %d.%d: say `make PYTHON=python3.11 $(MAKECMDGOALS)`." % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --editable '.[embedded,cluster,sentence-transformers,test]'
	@touch $(STAMP)

setup: $(STAMP)  ## Create the environment and install everything into it

models: $(STAMP)  ## Fetch and verify the model files (once, about 1.2 GB)
	$(BIN)/leadline models fetch

run: $(STAMP)  ## Start the service on http://127.0.0.1:8000 (sets up and fetches models first)
	$(BIN)/leadline up

test: $(STAMP)  ## Run the tests (sets up and fetches models first)
	$(BIN)/leadline models fetch
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder

test-long: $(STAMP)  ## Run the tests that take minutes each (LEADLINE_DATA: a folder of judged collections)
	$(BIN)/leadline models fetch
	$(BIN)/python -m pytest -m long

check: lint types imports packaging  ## Lint, format, types, import rules, packaging: what CI runs

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

packaging: $(STAMP)
	$(BIN)/python -m pytest -q tests/unit/test_packaging.py

.PHONY: help setup models run test test-long check lint types imports packaging
