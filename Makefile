# Everything a newcomer needs: each target sets up its own environment, says what it does, and may be repeated.
# Wanted: make, and Python 3.11 or later (PYTHON=... names another one).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-for-use
READY_MONITOR := $(VENV)/.ready-to-monitor
READY_DEV := $(VENV)/.ready-for-development
export OMP_WAIT_POLICY := PASSIVE

.PHONY: help demo monitor test test-slow check docs results protocol format clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(READY)  ## simulated sites learn together; ends with a table and a report
	@echo "== thrum demo: simulate machines at several sites and let them learn together"
	@$(BIN)/thrum demo --out runs/demo

monitor: $(READY_MONITOR)  ## simulated machines play live; prints the address of their dashboard
	@echo "== thrum monitor --demo: five simulated machines, three of which go wrong"
	@$(BIN)/thrum monitor --demo

test: $(READY_DEV)  ## the fast tests
	@echo "== the tests (slow ones: make test-slow)"
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not gpu"

test-slow: $(READY_DEV)  ## the slow tests
	@echo "== the slow tests"
	@OMP_NUM_THREADS=1 $(BIN)/pytest -m slow

check: $(READY_DEV)  ## style, types, architecture, docs
	@echo "== style"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== types"
	@$(BIN)/mypy
	@echo "== architecture: imports point down only"
	@$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory docs

docs: $(READY_DEV)  ## the documentation, into docs/_build
	@echo "== documentation"
	@$(BIN)/sphinx-build -q -W --keep-going docs docs/_build

results: $(READY_DEV)  ## docs/results.md, from the records in docs/results
	@echo "== docs/results.md"
	@$(BIN)/python docs/generate_results.py

protocol: $(READY_DEV)  ## docs/protocol.md, from the definitions of the messages
	@echo "== docs/protocol.md"
	@$(BIN)/python docs/generate_protocol.py

format: $(READY_DEV)  ## put the code into shape
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format -q .

clean:  ## remove the environment and everything built
	rm -rf $(VENV) docs/_build .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "thrum needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1). Say make PYTHON=python3.11"; exit 1; }
	@echo "== a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml | $(VENV)/bin/python
	@echo "== installing thrum and what it needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(READY_MONITOR): pyproject.toml | $(VENV)/bin/python
	@echo "== installing thrum and what its monitor needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[monitor]'
	@touch $@ $(READY)

$(READY_DEV): pyproject.toml | $(VENV)/bin/python
	@echo "== installing thrum and what its development needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(READY) $(READY_MONITOR)
