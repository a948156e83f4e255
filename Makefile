# One environment, two commands: `make demo` and `make test`. Both may be repeated at no cost.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-faults check install clean

demo: $(INSTALLED)
	@$(BIN)/agsgtl sweep experiments/quickstart.yaml

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not faults"

# Kills drivers, workers and nodes, fills a disk: a few minutes more.
test-faults: $(INSTALLED)
	$(BIN)/python -m pytest -m faults tests

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(INSTALLED)

# torch first: constrained to the version whose wheel is the CPU build here; a GPU user installs theirs before (README).
$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "agsgtl needs Python 3.11 or newer; run: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
