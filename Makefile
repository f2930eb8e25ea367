# Everything runs in .venv, made on first use. `make demo` shows the tool, `make test` proves it, `make bench` times it,
# `make mutants` asks how many mistakes in the formulas the tests would notice, and `make sweep` compares a hundred
# architectures with plain autograd. `make notebooks` runs the notebooks, `make docs` builds the documentation site,
# strictly, and `make release-check` the packages, which it installs elsewhere and tries. `make web` builds and tests the
# page of exported networks, which takes Node 20.19 or newer; without it, tests of that page are skipped. The tests keep
# bytecode even where Python is told to write none: with it, collecting them takes half as long.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench mutants sweep web notebooks docs release-check clean

demo: .venv/installed
	$(BIN)/deepinside compare photos/rocket.jpg --target missile --out deepinside-out
	$(BIN)/deepinside localize photos --top 1 --out deepinside-out

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 2 -q

bench: .venv/installed-bench
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/cut.py
	$(BIN)/python benchmarks/class_image.py

mutants: .venv/installed-mutation
	$(BIN)/python tools/mutants.py --out build/mutants.jsonl

sweep: .venv/installed-dev
	$(BIN)/python tools/sweep.py --out build/sweep.jsonl

PAGE := src/deepinside/portable/page
web:
	cd web && npm ci --ignore-scripts --no-audit --no-fund && npm run check && npm test && npm run build
	rm -rf $(PAGE)
	cp -r web/dist $(PAGE)

notebooks: .venv/installed-notebooks
	$(BIN)/python tools/notebooks.py

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python tools/check_site.py build/site

release-check: .venv/installed-release
	$(BIN)/python tools/release_check.py build/release

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

.venv/installed-bench: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

.venv/installed-mutation: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[mutation]'
	touch $@

.venv/installed-notebooks: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[notebooks]'
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

.venv/installed-release: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[release]'
	touch $@

clean:
	rm -rf .venv deepinside-out
