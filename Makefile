# `make demo` and `make test` need nothing but Python 3.11 or later: each makes its own virtual environment.

PYTHON ?= python3
CORE := .venv/core
TEST := .venv/test

.PHONY: demo test lint types wheel clean

demo: $(CORE)/done
	$(CORE)/bin/decaf demo

test: $(TEST)/done
	$(TEST)/bin/python -m pytest -m "not slow" --numprocesses auto --dist worksteal

lint: $(TEST)/done
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .

types: $(TEST)/done
	$(TEST)/bin/mypy

wheel: $(TEST)/done
	$(TEST)/bin/python -m build --wheel --outdir dist .

$(CORE)/done: pyproject.toml
	$(PYTHON) -m venv --clear $(CORE)
	$(CORE)/bin/python -m pip install --quiet --editable .
	touch $@

$(TEST)/done: pyproject.toml
	$(PYTHON) -m venv --clear $(TEST)
	$(TEST)/bin/python -m pip install --quiet --editable ".[test]"
	touch $@

clean:
	rm -rf .venv dist build decaf-demo
