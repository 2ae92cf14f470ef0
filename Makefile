# Every target makes the virtual environment and installs what it needs, once.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
export DAGSTER_HOME ?= $(CURDIR)/.dagster
export CIRCUIT_LAKE_ROOT ?= $(CURDIR)/lake
export OMP_WAIT_POLICY := passive

.PHONY: install test lint ui sql bench clean
.DEFAULT_GOAL := test

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

install: $(VENV)/installed

test: $(VENV)/installed
	$(BIN)/pytest

lint: $(VENV)/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

ui: $(VENV)/installed
	@echo "Dagster UI: http://127.0.0.1:$(or $(PORT),3000)"
	$(BIN)/dagster dev --host 127.0.0.1 --port $(or $(PORT),3000)

sql: $(VENV)/installed
	@$(BIN)/python -m dagster_project.lake.prompt $(SQL)

bench: $(VENV)/installed
	$(BIN)/python -m bench $(STUDY)

clean:
	rm -rf $(VENV)
