# make demo   trains the three stages on this machine, from nothing
# make test   runs everything, a real Slurm included
# make check  lint and types; make format; make cluster-up / cluster-down; make weights
# make docs   the documentation site, into build/site
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Each rank imports the same modules; compiling them anew was an eighth of its start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check docs format cluster-up cluster-down weights clean

demo: $(VENV)/.train
	$(PY) -m jobs.data.synthetic data/demo
	$(PY) -m launcher submit pipeline.demo.yaml

# Four processes on two cores: most tests of Slurm wait. One thread each, or they fight for cores.
test: export OMP_NUM_THREADS := 1
test: $(VENV)/.dev
	$(PY) -m tests.cluster.install
	$(PY) -m tests.install
	$(MAKE) check
	$(PY) -m pytest -q --durations=15 -m "not alone" -n 4 --no-loadscope-reorder
	$(PY) -m pytest -q --durations=5 -m alone

check: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# Brings the parts that follow from code up to date, and builds with warnings as errors (with -q
# mkdocs would not see them).
docs: $(VENV)/.dev
	$(PY) -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo "open build/site/index.html"

format: $(VENV)/.dev
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

# A Slurm of 4 nodes x 8 (pretended) GPUs on this machine, for playing by hand.
cluster-up: $(VENV)/.dev
	$(PY) -m tests.cluster.install
	$(PY) -m tests.cluster up

cluster-down:
	$(PY) -m tests.cluster down

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (about a minute)"
	@$(PY) -m pip install -qq -c constraints.txt -e '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	@$(PY) -m pip install -qq -c constraints.txt -e '.[train,report,dev]'
	@touch $@

# The weights in weights/tiny, from nothing (about 40 minutes on two cores).
weights: $(VENV)/.train
	$(PY) -m jobs.data.tokenizer weights/tiny/language_model
	$(PY) -m jobs.data.synthetic data/pretraining --train 6000 --test 16 --seed 1
	$(PY) -m jobs.data.text data/pretraining/text.json
	$(PY) -m launcher submit pipeline.weights.yaml
	run=$$(ls -td runs/tiny-weights-*/ | head -1) && \
	  $(PY) -m jobs.export $$run language_model weights/tiny/language_model && \
	  $(PY) -m jobs.export $$run stage1 weights/tiny/stage1.safetensors

clean:
	rm -rf $(VENV) build *.egg-info data/demo
