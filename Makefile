# make demo         train two small networks with the callbacks on, then open TensorBoard (SERVE=0: only train)
# make test         lint, types, all tests (those of the tab need node and Chromium, else they are skipped;
#                   those of other packages' networks need them: EXTRAS=,networks in a new environment)
# make bench        the figures of the README
PYTHON ?= python3
VENV ?= .venv
PORT ?= 6006
SERVE ?= 1
RUNS ?= runs/kernel_and_stride
EXTRAS ?=
BIN := $(VENV)/bin

.PHONY: demo test lint bench

demo: $(VENV)/.demo
	$(BIN)/python examples/kernel_and_stride.py --logdir $(RUNS)
	@echo
	@echo "Look at the tab LIGHTNING VIZ: the filters of both runs side by side, a slider for the epoch, the loss under it."
	@echo "Which filters are still noise, which look alike? HPARAMS has kernel and stride beside the score."
ifeq ($(SERVE),1)
	@echo "Open http://127.0.0.1:$(PORT)/#lightning_viz"
	$(BIN)/tensorboard --logdir $(RUNS) --host 127.0.0.1 --port $(PORT)
endif

test: lint $(if $(shell command -v npm),node_modules/.done)
	$(BIN)/pytest -n 2 --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/filter_grid.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/entry_point.py
	$(BIN)/python benchmarks/tab.py
	$(BIN)/python benchmarks/many_runs.py
	$(BIN)/python benchmarks/reconstruction.py
	$(BIN)/python benchmarks/functional_relu.py
	$(BIN)/python benchmarks/top_patches.py
	$(BIN)/python benchmarks/occlusion.py
	$(BIN)/python benchmarks/embedding_tab.py
	$(BIN)/python benchmarks/embedding.py
	$(BIN)/python benchmarks/synthesis.py

node_modules/.done: package-lock.json
	npm ci --no-audit --no-fund
	touch $@

$(VENV)/.demo $(VENV)/.dev: $(VENV)/.%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet -e ".[$*$(EXTRAS)]"
	touch $@
