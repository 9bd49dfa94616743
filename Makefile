# make demo: from a fresh clone to the first answers.   make test: every check.
PYTHON ?= python3
INDEX ?= build/demo.index
PORT ?= 8765

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SERVE := .venv/installed-serve
DEV := .venv/installed-dev

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test lint bench clean

help:
	@echo "make setup   install the program into .venv, without PyTorch"
	@echo "make demo    index the sample pictures and search them"
	@echo "make serve   open the page on the demo's index, or on INDEX=photos.index, at PORT=$(PORT)"
	@echo "make test    install what the checks need and run them all"
	@echo "make lint    ruff, mypy and import-linter alone"
	@echo "make bench   every measured figure as one table"
	@echo "make clean   remove .venv and what was built"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Open-AutoGLM needs Python 3.11 or newer; give one with PYTHON=...")'
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv

$(SERVE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the program"
	@$(INSTALL) -e '.[serve]'
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the program with PyTorch and the checks"
	@$(INSTALL) -e '.[dev]'
	@touch $@ $(SERVE)

setup: $(SERVE)
	@:

demo:
	@started=$$(date +%s); $(MAKE) --no-print-directory setup && $(BIN)/python scripts/demo.py --started $$started

build/demo.index: | $(SERVE)
	@$(BIN)/python scripts/demo.py

serve: $(SERVE) $(if $(filter build/demo.index,$(INDEX)),build/demo.index)
	@$(BIN)/autoglm serve '$(INDEX)' --port $(PORT) --open

test: $(DEV)
	@if ! { command -v chromium && command -v redis-server; } >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing the browser and the Redis server for the tests of the page and the cache"; \
	  apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium redis-server >/dev/null; fi
	@$(MAKE) --no-print-directory lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(SERVE)
	@$(BIN)/python scripts/bench_table.py

clean:
	rm -rf .venv build dist
