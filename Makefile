# Everything happens in .venv, made on first use. `make demo` and `make test` are all a user needs.
# Options: PYTHON=python3.12 and CC=clang choose the tools; ARGS="..." is handed on to the program that is run.

VENV := .venv
BIN := $(VENV)/bin
# a change in one of these rebuilds the C library; the Python sources are used where they lie
BUILD_INPUTS := pyproject.toml setup.py $(shell find csrc -name tests -prune -o -type f -name '*.[ch]' -print) \
	csrc/build_ffi.py
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo test bench lint ci clean

help:
	@echo 'make demo    build, train a network on handwritten digits, write digits.png'
	@echo 'make test    build, run the whole test suite'
	@echo 'make bench   build, run the benchmarks'
	@echo 'make lint    format, lint, type and import checks'
	@echo 'make ci      everything CI runs'
	@echo 'make clean   remove .venv and everything built'

demo: $(VENV)/extra-plot
	$(BIN)/python -m tensorgrad --plot digits.png $(ARGS)

test: $(VENV)/extra-plot $(VENV)/extra-test
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS) # a process for each CPU

bench: $(VENV)/extra-plot
	$(BIN)/python benchmarks/run.py $(ARGS)

lint: $(VENV)/extra-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" bash scripts/lint.sh

ci:
	bash .ci/run

clean:
	rm -rf $(VENV) build dist *.egg-info tensorgrad/_C.*.so csrc/tests/build
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/created:
	@python=$$(sh scripts/check_environment.sh) && echo "Creating $(VENV)" && "$$python" -m venv --clear $(VENV)
	@$(PIP) install --quiet 'pip>=21.3' # the first that installs a pyproject.toml project in place
	@touch $@

$(VENV)/built: $(VENV)/created $(BUILD_INPUTS)
	@echo 'Building the C library and installing tensorgrad'
	@$(PIP) install --quiet --editable .
	@touch $@

# tensorgrad itself is installed by now, so this adds what the extra names and nothing else
$(VENV)/extra-%: $(VENV)/built
	@echo "Installing what the '$*' extra names"
	@$(PIP) install --quiet 'tensorgrad-c[$*]'
	@touch $@
