# Every target does its own setup: a machine with Python 3.11 or later and make is enough.
PYTHON ?= python3
VENV := .venv
VLLM_VENV := .venv-vllm
LITELLM_VENV := .venv-litellm
DATAFLOW_VENV := .venv-dataflow
BIN := $(VENV)/bin
DEMO := demo
STAMPS := $(VENV)/stamps

.PHONY: install demo test test-vllm test-litellm test-dataflow check bench measured docs reference clean

# The command, in a virtual environment of its own: .venv/bin/regioncap
install: $(STAMPS)/install
	@echo "ready: $(BIN)/regioncap --help"

# Photos, the real flow, and its output
demo: $(STAMPS)/demo
	$(BIN)/python examples/make_demo.py $(DEMO)
	$(BIN)/regioncap run $(DEMO)/photos.jsonl --captioner pixels --max-boxes 5 \
	  --output $(DEMO)/captions.jsonl --cache-path $(DEMO)/.regioncap
	$(BIN)/python examples/show.py $(DEMO)/captions.jsonl

test: $(STAMPS)/test
	$(BIN)/python -m pytest -n logical

# The flow with a real vLLM on a tiny model, without a GPU; in an environment of its own, about 3 GB
test-vllm: $(STAMPS)/test $(VLLM_VENV)/ready
	REGIONCAP_VLLM_VENV=$(VLLM_VENV) $(BIN)/python -m pytest tests/vllm

$(VLLM_VENV)/ready: tests/vllm/requirements.txt tests/vllm/tiny_model.py tests/vllm/path/sitecustomize.py
	@echo "installing vLLM into $(VLLM_VENV) (several minutes and 3 GB the first time) ..."
	@$(PYTHON) -m venv $(VLLM_VENV)
	@$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/vllm/requirements.txt
	@# Dependencies that are not needed and linked to CUDA: importing them would fail.
	@$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	@PYTHONPATH=tests/vllm/path $(VLLM_VENV)/bin/python tests/vllm/tiny_model.py $(VLLM_VENV)/tiny-model
	@touch $@

# Against a real LiteLLM proxy before the fake server; in an environment of its own
test-litellm: $(STAMPS)/test $(LITELLM_VENV)/ready
	REGIONCAP_LITELLM_VENV=$(LITELLM_VENV) $(BIN)/python -m pytest tests/litellm

$(LITELLM_VENV)/ready: tests/litellm/requirements.txt
	@echo "installing LiteLLM into $(LITELLM_VENV) (some minutes the first time) ..."
	@$(PYTHON) -m venv $(LITELLM_VENV)
	@$(LITELLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/litellm/requirements.txt
	@touch $@

# In a pipeline of the real open-dataflow; in an environment of its own, which has RegionCap, too
test-dataflow: $(STAMPS)/test $(DATAFLOW_VENV)/ready
	REGIONCAP_DATAFLOW_VENV=$(DATAFLOW_VENV) $(BIN)/python -m pytest tests/open_dataflow

$(DATAFLOW_VENV)/ready: tests/open_dataflow/requirements.txt pyproject.toml
	@echo "installing open-dataflow into $(DATAFLOW_VENV) (some minutes the first time) ..."
	@$(PYTHON) -m venv $(DATAFLOW_VENV)
	@$(DATAFLOW_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e . -r tests/open_dataflow/requirements.txt
	@$(DATAFLOW_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps open-dataflow==1.0.13
	@touch $@

check: $(STAMPS)/check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Each figure that has a goal, beside it and the last on record: make bench ARGS="--only by-hand-400 --against HEAD~1"
bench: $(STAMPS)/test
	$(BIN)/python benchmarks/bench.py $(ARGS)

# The other figures of docs/measured.md; never part of the tests
measured: $(STAMPS)/test
	$(BIN)/python benchmarks/orchestration.py
	$(BIN)/python benchmarks/throughput.py --case 1600x32x0.8
	$(BIN)/python benchmarks/resume.py
	$(BIN)/python benchmarks/kills.py
	$(BIN)/python benchmarks/scale.py 10000 100000
	$(BIN)/python benchmarks/pixels.py
	$(BIN)/python benchmarks/object_store.py

# The site of docs/, in site/; to look at it, with its search: .venv/bin/mkdocs serve
docs: $(STAMPS)/docs
	$(BIN)/python docs/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The pages of docs/ that are made of the settings and the commands
reference: $(STAMPS)/install
	$(BIN)/python docs/reference.py

clean:
	rm -rf $(VENV) $(VLLM_VENV) $(LITELLM_VENV) $(DATAFLOW_VENV) $(DEMO) site .pytest_cache .mypy_cache .ruff_cache .grimp_cache \
	  .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "RegionCap needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)

$(STAMPS)/install: EXTRAS :=
$(STAMPS)/demo: EXTRAS := [demo]
$(STAMPS)/test: EXTRAS := [test]
$(STAMPS)/check: EXTRAS := [test,check]
$(STAMPS)/docs: EXTRAS := [docs]
$(STAMPS)/%: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing RegionCap$(EXTRAS) into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.$(EXTRAS)'
	@touch $@
