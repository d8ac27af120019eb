# Every target works from a fresh clone: dev.py makes .venv and installs what is pinned there.
PY := .venv/bin/python

.PHONY: install demo test lint types layers check docs bench evidence
install:
	python3 dev.py install
demo:
	python3 dev.py demo
test:
	python3 dev.py test
lint: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
types: install
	$(PY) -m mypy
layers: install
	.venv/bin/lint-imports
docs: install
	$(PY) -m sphinx -q -W --keep-going -b html docs docs/_build
evidence: install
	$(PY) benchmarks/evidence.py
bench: install
	$(PY) benchmarks/bench.py
check: lint types layers docs
