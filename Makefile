# make demo         train two small networks with the callbacks on, then open TensorBoard (SERVE=0: only train)
# make test         lint, types, all tests
# make bench        the figures of the README
PYTHON ?= python3
VENV ?= .venv
PORT ?= 6006
SERVE ?= 1
RUNS ?= runs/kernel_and_stride
BIN := $(VENV)/bin

.PHONY: demo test lint bench

demo: $(VENV)/.demo
	$(BIN)/python examples/kernel_and_stride.py --logdir $(RUNS)
	@echo
	@echo "Look at IMAGES: the filters of every epoch of both runs; at SCALARS: the loss on the same x axis;"
	@echo "at HPARAMS: kernel and stride beside the score. Which filters are noise, which look alike?"
ifeq ($(SERVE),1)
	$(BIN)/tensorboard --logdir $(RUNS) --host 127.0.0.1 --port $(PORT) --samples_per_plugin images=1000
endif

test: lint
	$(BIN)/pytest -n 2

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/filter_grid.py
	$(BIN)/python benchmarks/overhead.py

$(VENV)/.demo $(VENV)/.dev: $(VENV)/.%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet -e ".[$*]"
	touch $@
