# make repro: rebuild the model.  make test: run the tests.  Both set up everything they need in .venv.
SHELL := /bin/bash
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
# A process a core, four at most: each holds torch, which is a gigabyte. What a file prepares is prepared once, the
# miniature that many files look at too (tests/end_to_end/conftest.py). Files go out in their order, in which the long
# end-to-end stories come early: by number of tests they would come last.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export NO_ALBUMENTATIONS_UPDATE := 1
export MLFLOW_DISABLE_TELEMETRY := true
# Where it is set (many container images do), every process compiles torch and MLflow anew: ten seconds each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: repro test test-all lint types workflows bench docs bundled zoo setup lock clean

repro: setup
	@.venv/bin/graft check --here >&2
	@.venv/bin/graft fix >&2
	.venv/bin/dvc repro
	@.venv/bin/graft publish || echo "graft: the model is built; graft publish completes the record later" >&2
	@.venv/bin/graft summary

test: setup
	.venv/bin/pytest -q $(PARALLEL)

test-all: setup extra-weights extra-geo
	.venv/bin/pytest -q $(PARALLEL) -m ""

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports

types: setup
	.venv/bin/mypy src/graft pipeline

workflows: setup
	ci/workflows.sh

bench: setup
	.venv/bin/python -m benchmarks

docs: setup
	.venv/bin/python -m docs.toolbox
	.venv/bin/python -m docs.figures

bundled: setup
	./pipeline/recipes/bundled.sh

zoo: setup
	.venv/bin/python pipeline/recipes/zoo.py

# make setup EXTRAS=weights installs the lock of an extra too; EXTRAS may name several.
setup: .venv/installed $(EXTRAS:%=extra-%)

.venv/installed: requirements.lock pyproject.toml
	@"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { echo "graft: needs Python 3.11, 3.12 or 3.13, not $$("$(or $(PYTHON),python3)" --version 2>&1). Install one and run make again, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "graft: installing the locked dependencies into .venv (6 GB; a minute or a few)"
	@test -x .venv/bin/python || "$(PYTHON)" -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check $$(grep -o '^uv==[^ ]*' requirements.lock)
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.lock
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps -e .
	@touch $@

extra-%: .venv/installed
	@test -f requirements/$*.lock || { echo "graft: there is no extra $*; the extras are:$(patsubst requirements/%.lock, %,$(wildcard requirements/*.lock))" >&2; exit 2; }
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.lock -r requirements/$*.lock

# Locks what pyproject.toml asks for and leaves every other version as it is; add LOCK_OPTIONS=--upgrade to move them.
# The lock of an extra holds what the extra adds; one that pyproject.toml does not name was written by hand.
COMPILE := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: setup
	$(COMPILE) $(LOCK_OPTIONS) --extra dev --output-file requirements.lock pyproject.toml
	@for lock in requirements/*.lock; do extra=$$(basename "$$lock" .lock); \
		grep -q "^$$extra = \[" pyproject.toml || continue; \
		$(COMPILE) --extra "$$extra" --constraint requirements.lock --output-file "$$lock" pyproject.toml \
			$$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements.lock); done

clean:
	rm -rf .venv data/deliveries data/interim data/augmented models/pretrained models/fine_tuned models/exported reports
