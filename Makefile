# Only make and python3 (3.11 to 3.13) are assumed; everything else goes into .venv.
PYTHON ?= python3
UV := 0.13.8
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

NOT_HERE := slow or gpu or network or engine or real

# Real photos where both are given, else rendered mannequins.
DEMO := deployments/$(if $(and $(MANNEQUIN_REAL_DATA),$(MANNEQUIN_MODELS)),demo_real,demo).json

# Folders are handed to processes that run elsewhere.
ifdef MANNEQUIN_REAL_DATA
export MANNEQUIN_REAL_DATA := $(abspath $(MANNEQUIN_REAL_DATA))
endif
ifdef MANNEQUIN_MODELS
export MANNEQUIN_MODELS := $(abspath $(MANNEQUIN_MODELS))
endif
ifdef MANNEQUIN_HOME
export MANNEQUIN_HOME := $(abspath $(MANNEQUIN_HOME))
endif

# Python compiles what is used once, instead of at every start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo up down status test test-all test-gpu check lock golden clean

help: ## What there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(STAMP) ## Create .venv with the locked packages

demo: $(STAMP) ## Build pose templates of rendered mannequins (or, with real data, of photos) into Postgres
	@$(BIN)/python -m deployments.local up
	@echo
	@$(BIN)/mannequin run pose_templates --config $(DEMO)
	@echo
	@echo "Go on:  the Prefect UI above shows the run, its pictures and counts; README.md tells how to run on your photos."
	@echo "        make demo again takes seconds: everything is found in the store. make down stops what was started."

up: $(STAMP) ## Local Prefect: server, pool, blocks, deployments, one worker
	@$(BIN)/python -m deployments.local up

down: $(STAMP) ## Stop all of that; data stays
	@$(BIN)/python -m deployments.local down

status: $(STAMP) ## What runs
	@$(BIN)/python -m deployments.local status

test: $(STAMP) ## The tests that need nothing, in a few minutes
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not ($(NOT_HERE))"

test-all: $(STAMP) ## What `test` leaves out: slow, engine, GPU, and real data where MANNEQUIN_REAL_DATA is set
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "(slow or gpu or engine or real) and not network"

test-gpu: $(STAMP) ## Networks on a GPU against the CPU, and how fast they go; skips without one
	@$(BIN)/python -m pytest -q -s -m gpu

check: $(STAMP) ## Lint, format, types, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_architecture.py

lock: $(STAMP) ## Resolve requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --no-emit-index-url --extra dev \
		--python-version 3.11 pyproject.toml -o requirements.lock
	@sed -i.old "/sys_platform == 'never'/d" requirements.lock && rm requirements.lock.old
	@! grep -n '://' requirements.lock || { echo "requirements.lock names an address."; exit 1; }

golden: $(STAMP) ## Write the golden outputs of the stages anew (raise the versions of those that changed)
	@$(BIN)/python -m tests.golden.record

clean: ## Remove .venv and caches; data under MANNEQUIN_HOME stays
	@rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || { \
		echo "Mannequin needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into .venv: about 6 GB, mostly PyTorch with CUDA; 2 to 15 minutes the first time, by network."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check uv==$(UV)
	@export VIRTUAL_ENV=$(VENV); cache=$$($(BIN)/uv cache dir) && mkdir -p "$$cache" && touch "$$cache/.probe" && \
		{ ln -f "$$cache/.probe" $(VENV)/.probe 2>/dev/null || export UV_LINK_MODE=copy; } && \
		$(BIN)/uv pip sync requirements.lock && \
		$(BIN)/uv pip install --quiet --no-deps --editable .
	@$(BIN)/mannequin --help >/dev/null
	@touch $@
