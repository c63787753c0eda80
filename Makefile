# Every target sets up what it needs, from nothing but git, make and Python >= 3.11.
PYTHON ?= python3
OUT ?= runs/demo
BIN := .venv/bin
UV := .uv/bin/uv
READY := .venv/.ready

.PHONY: demo test test-slow check setup perf clean help

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

demo: $(READY)  ## the main job: train with and without a defense, attack, compress, print the table
	$(BIN)/dfbench sweep benchmarks/mini-demo.toml --out $(OUT)

test: $(READY)  ## all tests but the slow ones
	$(BIN)/python -m pytest

test-slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

check: $(READY)  ## lint, formatting, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

perf: $(READY)  ## speed benchmarks, side by side with peers
	$(BIN)/python -m pytest benchmarks/perf --benchmark-enable --benchmark-group-by=group

setup: $(READY)  ## only the environment

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "dfbench needs Python 3.11 to 3.13; $(PYTHON) is $$($(PYTHON) -V 2>&1). Give one: make PYTHON=python3.12"; exit 2; }
	test -x $(UV) || { $(PYTHON) -m venv .uv && .uv/bin/python -m pip install --quiet uv; }
	test -x $(BIN)/python || $(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	VIRTUAL_ENV=.venv $(UV) pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	touch $@

clean:  ## remove the environments and runs; the cache in ~/.cache/dfbench stays
	rm -rf .venv .uv runs
