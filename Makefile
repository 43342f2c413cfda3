# Two commands for a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
# Each makes its own environment with the versions of constraints.txt; a second run finds it made.

PYTHON ?= python3

# Older pip reads the first for builds too, newer pip the second.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BASE_BUDGET_MB := 900
INPUTS := pyproject.toml constraints.txt

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: demo test lint types base unit format constraints clean

demo: .venv-demo/made  ## base package, synthetic patients, a report
	rm -rf demo/patients demo/screening
	.venv-demo/bin/pneumoscope demo --out demo

test: lint types base unit  ## everything that must hold; pytest last, so that its verdict closes the output

lint: .venv-test/made
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .

types: .venv-test/made
	.venv-test/bin/mypy

# The wheel, not the checkout, in an environment of its own: what a user gets is what is judged.
base: .venv-base/made .venv-test/made
	.venv-base/bin/pip install --quiet --no-deps .
	.venv-base/bin/python tools/check_size.py .venv-base $(BASE_BUDGET_MB)
	.venv-base/bin/python tools/check_licences.py
	.venv-test/bin/python tools/check_licences.py
	.venv-base/bin/python tools/base_check.py

unit: .venv-test/made
	.venv-test/bin/pytest

format: .venv-test/made  ## rewrites files
	.venv-test/bin/ruff check --fix .
	.venv-test/bin/ruff format .

# -e for the two that follow the checkout, so that only a change of dependencies makes them anew.
.venv-demo/made: WHAT = --editable .
.venv-base/made: WHAT = .
.venv-test/made: WHAT = --editable '.[train,dev]'

.venv-%/made: $(INPUTS)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python: expected 3.11 or newer, found %s. Try: make PYTHON=python3.12" % sys.version.split()[0])'
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet $(WHAT)
	touch $@

# The newest versions that fit together, and what builds the package (editables: its editable form).
# Run `make test` before they are committed.
constraints:
	$(PYTHON) -m venv --clear .venv-lock
	env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT .venv-lock/bin/pip install --quiet --dry-run --ignore-installed \
	    --report .venv-lock/report.json '.[train,dev]' hatchling editables
	.venv-lock/bin/python tools/write_constraints.py .venv-lock/report.json > constraints.txt

clean:
	rm -rf .venv-demo .venv-test .venv-base .venv-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis
