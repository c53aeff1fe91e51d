PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIGHT := $(VENV)/.ready
FULL := $(VENV)/.ready-for-tests
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: setup setup-tests demo test check lint site clean

# what the annotator and every command over nano need; setup-tests adds PyTorch and what tests need
setup: $(LIGHT)

setup-tests: $(FULL)

$(LIGHT): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(INSTALL) --editable .
	touch $@

# torch first: its CPU build must be there before anything that depends on it is resolved
$(FULL): $(LIGHT)
	$(INSTALL) torch
	$(INSTALL) --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/segue annotate

# a process a core, each with one thread that doesn't spin while it waits
test: setup-tests
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: setup-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# the documentation, in build/site; a broken link or reference fails it
site: setup
	$(INSTALL) --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

check: lint test

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
