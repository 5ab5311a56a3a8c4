# `make demo` and `make test` work from a bare clone: each makes the virtual environment it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PACKAGING := setup.cfg pyproject.toml constraints.txt

.PHONY: demo test lint types docs pytest clean

demo: $(VENV)/demo.stamp
	$(BIN)/python -m mfa_sklearn demo

test: lint types docs pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	$(BIN)/mypy

# Everything is read anew, because what is read again says its warnings only once.
docs: $(VENV)/test.stamp
	$(BIN)/sphinx-build -q -E -W --keep-going -b html docs build/docs

pytest: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n auto --dist loadfile

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(PACKAGING) | $(BIN)/python
	$(INSTALL) -e '.[lm,plot]'
	touch $@

$(VENV)/test.stamp: $(PACKAGING) | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	touch $@ $(VENV)/demo.stamp

clean:
	rm -rf $(VENV) build dist *.egg-info mfa-demo .pytest_cache .mypy_cache .ruff_cache
