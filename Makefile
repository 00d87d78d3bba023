# Every target makes or refreshes .venv/ by itself; all it needs is Python 3.11 or newer.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$p -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
STAMP := .venv/.stamp
OUT ?= demo

# One thread for each process: OpenMP teams that outnumber the cores wait for each other.
export OMP_NUM_THREADS ?= 1
# Byte code is kept in .venv/, whatever the caller's habit: without it every process compiles torch anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint type docs release-check

help:
	@echo "make demo   the whole pipeline on made-up radiographs, into $(OUT)/; QUICK=1: little of everything"
	@echo "            ARGS='--real FOLDER': on films of your own"
	@echo "make test   the tests (CPU, offline)"
	@echo "make test-slow   those that take long: kills, clusters, the whole demo"
	@echo "make lint   style and format"
	@echo "make type   static types"
	@echo "make docs   regenerate docs/reference/, and what else of docs/ is made from the code"
	@echo "make release-check   build the wheel, install it in a clean environment, run it from outside this folder"

# The stamp is written last, so that an interrupted set-up is done again.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "cspine-bench needs Python 3.11 or newer; name yours: make PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "Setting up .venv/ (once; a minute or two) ..." >&2
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/cspine-bench demo --out $(OUT) $(if $(QUICK),--quick) $(ARGS)

PYTEST := HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 4

# `make test ARGS="-k phantom"` runs a part.
test: $(STAMP)
	@$(PYTEST) --dist worksteal -m "not slow and not gpu and not network" $(ARGS)

test-slow: $(STAMP)
	@$(PYTEST) --dist loadgroup -m "slow and not gpu and not network" $(ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check --diff .

type: $(STAMP)
	@$(BIN)/mypy --no-error-summary

docs: $(STAMP)
	@$(BIN)/python docs/build_reference.py
	@$(BIN)/python docs/build_architecture.py
	@$(BIN)/python docs/build_reproduce.py

# `make release-check ARGS="--env FOLDER"` keeps the environment for the next time.
release-check: $(STAMP)
	@$(BIN)/python .ci/release_check.py $(ARGS)
