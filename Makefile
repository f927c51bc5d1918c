# The front door. `make demo` and `make test` set everything up themselves.
VENV := .venv
READY := $(VENV)/.installed
BIN := $(VENV)/bin
FOLDERS := schemas models components pipeline
ROOT := runs/demo

.PHONY: help setup demo test test-slow tensorboard lint typecheck check docs lock clean

help:
	@echo "make demo         sample logs -> pipeline -> served model, in one go"
	@echo "make test         the tests that are not slow: some ten minutes"
	@echo "make test-slow    the slow ones: other runners, kills, searches, benchmarks; within the hour"
	@echo "make tensorboard  curves and routes of all trainings under ROOT, by default runs/demo"
	@echo "make check        check format, lint and types, run the tests"
	@echo "make docs         write docs/config.md anew, after a change of schemas/"
	@echo "make lock         resolve requirements.lock anew (needs uv)"
	@echo "make clean        remove build products and .venv"

setup: $(READY)

$(READY): requirements.lock pyproject.toml setup.py
	@./tools/make_venv.sh $(VENV)
	@touch $@

demo: $(READY)
	@$(BIN)/taskroute demo

# Two files at a time: tests of one file share what is slow to make.
PYTEST := $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --durations=25

test: $(READY)
	@$(PYTEST) -m "not slow"

test-slow: $(READY)
	@$(PYTEST) -m slow

tensorboard: $(READY)
	@test -d $(ROOT) || { echo "there is no $(ROOT): run something, or give ROOT=runs/NAME"; exit 2; }
	@$(BIN)/python -m tensorboard.main --logdir $(ROOT)

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

# The editable finder is invisible to mypy: it reads the folders under their import name.
typecheck: $(READY)
	@mkdir -p build/typing/taskroute
	@for folder in $(FOLDERS); do ln -sfn $(CURDIR)/$$folder build/typing/taskroute/$$folder; done
	@MYPYPATH=build/typing $(BIN)/mypy --namespace-packages --explicit-package-bases -p taskroute
	@MYPYPATH=build/typing:benchmarks:research:tools $(BIN)/mypy --namespace-packages \
	    --explicit-package-bases benchmarks/*.py research/*.py tools/*.py

check: lint typecheck test

docs: $(READY)
	@$(BIN)/python -m taskroute.pipeline.inspection.config_reference > docs/config.md.new
	@mv docs/config.md.new docs/config.md

lock:
	@uv pip compile pyproject.toml --extra dev --python-version 3.11 --override overrides.txt \
	    --generate-hashes --no-emit-index-url --no-header --quiet --upgrade -o requirements.lock

clean:
	@rm -rf build dist *.egg-info $(VENV)
