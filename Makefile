# One command for each task; `make help` lists them. Everything is installed into .venv, nothing elsewhere.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What the lock names is all that is installed: hashes are checked, and building ourselves needs no download.
LOCKED := --require-hashes --requirement
EDITABLE := --no-build-isolation --no-deps --editable .

ARGS ?=

.DEFAULT_GOAL := help
.NOTPARALLEL: # two cores, and two test runs at once would disturb each other
.PHONY: help serve test check rest e2e soak bench lock clean

help:  ## list the commands
	@sed -n 's/^\([a-z0-9]*\):.*  ## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

serve: $(VENV)/.serve  ## start the registry on ./orlop-data (ARGS='--listen HOST:PORT --data DIR')
	exec $(BIN)/orlop serve $(ARGS)

test: check rest  ## everything: check, then the slow tests and the real clients

check: $(VENV)/.test  ## format, lint, types, import contracts and fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

rest: $(VENV)/.test  ## what check leaves out: kill -9, large files, real clients
	$(BIN)/python -m pytest -m slow $(ARGS)

e2e: $(VENV)/.test  ## docker, podman, buildah, skopeo, containerd and a browser against a real server
	$(BIN)/python -m pytest -m e2e tests/e2e tests/browser $(ARGS)

soak: $(VENV)/.test  ## every fault: at each system call, power cuts, clients under kills (ORLOP_SOAK_SECONDS)
	ORLOP_SOAK_SECONDS=$${ORLOP_SOAK_SECONDS:-600} ORLOP_READERS_SECONDS=60 \
	  $(BIN)/python -m pytest -m slow -s tests/faults tests/crash/test_readers.py $(ARGS)

bench: $(VENV)/.serve  ## compare with Debian's docker-registry
	$(BIN)/python -m bench.compare $(ARGS)

lock: $(VENV)/.python  ## choose the newest versions that pyproject.toml allows
	$(PIP) install uv
	$(BIN)/uv pip compile $(COMPILE) --group build pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile $(COMPILE) --group build --group test --constraint requirements.lock \
	  pyproject.toml --output-file requirements-test.lock

# No address of an index belongs in the lock: every machine has its own.
COMPILE := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

clean:  ## remove the environment and every cache, never data
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Orlop needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Stamps: an install is repeated only when what it was made from has changed. The test environment
# holds all of the other, so it counts for both.
$(VENV)/.serve: $(VENV)/.python requirements.lock pyproject.toml
	$(PIP) install $(LOCKED) requirements.lock
	$(PIP) install $(EDITABLE)
	@touch $@

$(VENV)/.test: $(VENV)/.python requirements-test.lock pyproject.toml
	$(PIP) install $(LOCKED) requirements-test.lock
	$(PIP) install $(EDITABLE)
	@touch $@ $(VENV)/.serve
