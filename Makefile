# Every target sets up what it needs, in .venv, from a clean clone:
#   make test       lint, and every test but the slow ones
#   make test-all   lint, and every test
#   make demo       train on synthetic scenes, score, draw: runs/demo/
#   make docs       the documentation as a site: build/docs/index.html
#   make lint       ruff alone
#   make format     let ruff rewrite the sources
#   make clean      remove .venv and everything that was generated
# Choose the interpreter with `make PYTHON=python3.12 ...`, TensorFlow's build with `make EXTRA=gpu ...` (or cpu).

PYTHON ?= python3 python3.13 python3.12 python3.11 python
EXTRA ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready-$(EXTRA)

# Two processes: most of a test's time is tracing, which takes one core. A file stays in one, for its fixtures.
# tests/conftest.py puts the longest files first.
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

export TF_CPP_MIN_LOG_LEVEL ?= 2
export TF_FORCE_GPU_ALLOW_GROWTH ?= true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: docs setup test test-all demo demo-short lint format clean
.DEFAULT_GOAL := test

setup: $(READY)

# The first candidate that is a Python of a supported version and can make virtual environments. A name on the path
# is no proof: version managers leave stubs there that only print an error. --clear: a half-made .venv, or one with
# TensorFlow's other build, is made anew.
$(READY): setup.cfg pyproject.toml
	@found=; for candidate in $(PYTHON); do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; \
	  then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "No usable Python found. Tried: $(PYTHON). Needed: Python 3.11, 3.12 or 3.13 with the venv module" \
	    "(Debian: apt install python3-venv). Name one with: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$found and TensorFlow's $(EXTRA) build; the first time takes some minutes."; \
	"$$found" -m venv $$(test -e $@ || echo --clear) $(VENV)
	@$(RUN) -m pip install -q -e ".[$(EXTRA),docs,export,geo,lvis,serving,test,video]"
	@$(RUN) -m pip install -q --no-deps "tensorflow-serving-api>=2.20"
	@touch $@

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: $(READY)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

test: lint
	$(RUN) -m pytest $(WORKERS) -m "not slow"

test-all: lint
	$(RUN) -m pytest $(WORKERS)

demo: $(READY)
	$(RUN) tools/train.py --config mask_keypoint_rcnn_shapes --model_dir runs/demo --config.data.data_dir=runs/data

# The same path in a minute: it shows that everything runs, not that anything is learnt.
demo-short: $(READY)
	rm -rf runs/demo_short
	$(RUN) tools/train.py --config mask_keypoint_rcnn_shapes --model_dir runs/demo_short --config.data.data_dir=runs/data \
	  --config.train.steps=40 --config.train.evaluate_every=40 --config.train.checkpoint_every=20 \
	  --config.data.shapes.train_scenes=64 --config.data.shapes.val_scenes=16

docs: $(READY)
	$(RUN) -m sphinx -q -W --keep-going -b html docs build/docs

clean:
	rm -rf $(VENV) build dist *.egg-info runs .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
