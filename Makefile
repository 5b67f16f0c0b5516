# Every target does its own set-up: a machine with Python 3.11 or later and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
STAMPS := $(VENV)/stamps

.PHONY: install demo test check bench clean

# The command, in a virtual environment of its own: .venv/bin/regioncap
install: $(STAMPS)/install
	@echo "ready: $(BIN)/regioncap --help"

# Photos, the real flow, and what came out
demo: $(STAMPS)/demo
	$(BIN)/python examples/make_demo.py $(DEMO)
	$(BIN)/regioncap run $(DEMO)/photos.jsonl --captioner pixels --max-boxes 5 \
	  --output $(DEMO)/captions.jsonl --cache-path $(DEMO)/.regioncap
	$(BIN)/python examples/show.py $(DEMO)/captions.jsonl

test: $(STAMPS)/test
	$(BIN)/python -m pytest

check: $(STAMPS)/check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

# Figures for README; never part of the tests
bench: $(STAMPS)/test
	$(BIN)/python benchmarks/orchestration.py

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "RegionCap needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)

$(STAMPS)/install: EXTRAS :=
$(STAMPS)/demo: EXTRAS := [demo]
$(STAMPS)/test: EXTRAS := [test]
$(STAMPS)/check: EXTRAS := [test,check]
$(STAMPS)/%: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing RegionCap$(EXTRAS) into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.$(EXTRAS)'
	@touch $@
