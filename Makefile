# `make demo` and `make test` work from a bare clone: each makes the virtual environment it needs.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python $(PIP_INSTALL)
PACKAGING := setup.cfg pyproject.toml $(CONSTRAINTS)
OUTSIDE := build/package

.PHONY: demo test lint types docs pytest package clean

demo: $(VENV)/demo.stamp
	$(BIN)/python -m mfa_sklearn demo

test: lint types docs pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(VENV)/test.stamp
	$(BIN)/mypy

docs: $(VENV)/test.stamp
	$(BIN)/python -m sphinx -q -E -W --keep-going -b html docs build/docs

pytest: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n auto --dist loadfile

# The source distribution's tests, run on the installed wheel, in a folder where nothing else can be imported.
package: $(VENV)/test.stamp
	rm -rf dist $(OUTSIDE)
	$(BIN)/python -m build --outdir dist .
	mkdir -p $(OUTSIDE)
	tar xzf dist/*.tar.gz -C $(OUTSIDE) --strip-components 1
	rm -rf $(OUTSIDE)/mfa_sklearn
	$(PYTHON) -m venv $(OUTSIDE)/.venv
	PYTHONWARNINGS=ignore $(OUTSIDE)/.venv/bin/python $(PIP_INSTALL) "$$(ls dist/*.whl)[dev]"
	cd $(OUTSIDE) && .venv/bin/python -P -m pytest -n auto --dist loadfile -o pythonpath=tests tests
	cd $(OUTSIDE) && .venv/bin/python -P -m mfa_sklearn demo --quick

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(PACKAGING) | $(BIN)/python
	$(INSTALL) -e '.[lm,plot,atlas]'
	touch $@

$(VENV)/test.stamp: $(PACKAGING) | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	touch $@ $(VENV)/demo.stamp

clean:
	rm -rf $(VENV) build dist *.egg-info mfa-demo .pytest_cache .mypy_cache .ruff_cache docs/gallery
