PYTHON ?= python3
MODELS ?= demo
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash

.PHONY: install install-test run test unit lint bench clean

install: $(VENV)/.installed

install-test: $(VENV)/.installed-test

# constraints.txt makes installs repeatable; pyproject.toml says what is compatible.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CyberImage needs Python 3.11 or newer; try: make PYTHON=python3.11 install")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

# The bundled demo models; `make run MODELS=full` for the real ones.
run: install
	$(BIN)/cyberimage up --models $(MODELS) --example

test: install-test lint
	$(BIN)/python -m pytest

unit: install-test
	$(BIN)/python -m pytest tests/unit

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install-test
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
