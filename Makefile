# Two commands do all the set-up: `make run` (the main job) and `make test`.
VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
RUN    := work/run
EXAMPLES := $(wildcard examples/lisp/*.c) $(wildcard examples/sheet/*.cpp)

.PHONY: run test check bench llvm cross clean

run: llvm $(STAMP)
	@mkdir -p $(RUN)
	@cd $(RUN) && ../../$(VENV)/bin/llm-compiler optimize $(addprefix ../../,$(EXAMPLES))

# The examples' objects, linked and run: what was optimised still works.
run-check: run
	@$(MAKE) -C examples/lisp OBJECTS_FROM=$(CURDIR)/$(RUN) check
	@$(MAKE) -C examples/sheet OBJECTS_FROM=$(CURDIR)/$(RUN) check

test: llvm cross $(DEV)
	$(PYTHON) -m pytest

check: $(DEV)
	$(VENV)/bin/ruff check src tests benchmarks scripts
	$(VENV)/bin/ruff format --check src tests benchmarks scripts
	$(VENV)/bin/mypy
	$(PYTHON) scripts/generate_docs.py --check

bench: llvm $(DEV)
	$(PYTHON) benchmarks/speed.py

llvm:
	@sh scripts/install_packages.sh llvm

cross:
	@sh scripts/install_packages.sh cross

$(STAMP): pyproject.toml
	@sh scripts/make_venv.sh $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEV): $(STAMP) pyproject.toml
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) $(RUN)
