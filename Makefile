PYTHON ?= python3
MODELS ?= demo
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
# Tests that start no Ray, so that several can run at once; the longest files first.
ALONE := tests/fuzz $(filter-out tests/browser/test_jobs.py,$(wildcard tests/browser/test_*.py)) \
	tests/postgres tests/models tests/spawn
# Python keeps what it has compiled, rather than each of a server's processes do it again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install install-test run test unit lint lint-page screenshots bench bench-sharing simulate chaos soak clean

install: $(VENV)/.installed

install-test: $(VENV)/.installed-test

# constraints.txt makes installs repeatable; pyproject.toml says what is compatible.
# Ray has wheels for these versions of Python only. pip would compile what it installs on one core.
define pip-install
@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "CyberImage needs Python 3.11 to 3.14; try: make PYTHON=python3.13 install")'
$(PYTHON) -m venv $(VENV)
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '$(1)'
@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # some files are templates
@touch $(VENV)/.installed
endef

$(VENV)/.installed: pyproject.toml constraints.txt
	$(call pip-install,.)

$(VENV)/.installed-test: pyproject.toml constraints.txt
	$(call pip-install,.[test])
	@touch $@

# The bundled demo models; `make run MODELS=full` for the real ones.
run: install
	$(BIN)/cyberimage up --models $(MODELS) --example

test: lint unit
	$(BIN)/python -m pytest $(ALONE) --numprocesses logical --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest --ignore tests/unit $(addprefix --ignore ,$(ALONE))

unit: install-test
	$(BIN)/python -m pytest tests/unit --numprocesses logical

lint: install-test lint-page
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The page is plain JavaScript with types in its comments. Checking them takes Node.js; running it does not.
PAGE_TOOLS := tests/browser/node_modules
lint-page:
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory $(PAGE_TOOLS)/.installed && npm --prefix tests/browser run --silent check; \
	elif [ "$$CI" = true ]; then echo "npm is missing: install Node.js 20 or newer" >&2; exit 1; \
	else echo "the page is not checked: that takes npm (Node.js 20 or newer)"; fi

$(PAGE_TOOLS)/.installed: tests/browser/package.json tests/browser/package-lock.json
	npm --prefix tests/browser ci --silent --no-audit --no-fund
	@touch $@

# Every page and state of the page, in both themes and at three widths: out/screenshots. Needs Chromium.
screenshots: install-test
	$(BIN)/python -m tests.browser

bench: install-test
	$(BIN)/python -m tests.benchmarks

# Many families on few GPUs, ours beside first come, first served: some ten minutes.
bench-sharing: install-test
	$(BIN)/python -m tests.benchmarks --only sharing

# The arbiter's policy beside others on loads drawn at random, with the pictures of serve_app/SHARING.md.
simulate: install-test
	$(BIN)/python -m tests.simulation

# A hundred processes killed at random, then a look for what was lost or doubled: half an hour or more.
chaos: install-test
	$(BIN)/python -m tests.chaos

# Twenty minutes of small jobs, and a plot of what the server's processes hold meanwhile: out/soak.
soak: install-test
	$(BIN)/python -m tests.soak

clean:
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache $(PAGE_TOOLS)
