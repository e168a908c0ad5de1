# Two commands do all the set-up: `make run` (the main job) and `make test`.
VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
RUN    := work/run
EXAMPLES := $(wildcard examples/lisp/*.c) $(wildcard examples/sheet/*.cpp)

.PHONY: run test test-slow test-train test-ray test-remote test-page page torch-for-cpus check docs bench llvm cross clean

run: llvm $(STAMP)
	@mkdir -p $(RUN)
	@cd $(RUN) && ../../$(VENV)/bin/llm-compiler optimize $(addprefix ../../,$(EXAMPLES))

# The examples' objects, linked and run: what was optimised still works.
run-check: run
	@$(MAKE) -C examples/lisp OBJECTS_FROM=$(CURDIR)/$(RUN) check
	@$(MAKE) -C examples/sheet OBJECTS_FROM=$(CURDIR)/$(RUN) check

# A file stays with one process, since its fixtures are costly; one process a core.
PYTEST := $(PYTHON) -m pytest --numprocesses auto --dist loadfile

test: check llvm cross $(DEV)
	$(PYTEST)

# What takes a minute and more, each of which says again on larger input what a quicker one says.
test-slow: llvm cross $(DEV)
	$(PYTEST) -m slow --timeout 600

# What imports PyTorch is tested where PyTorch is: `make test` does not install it, since pip's
# usual build has gigabytes. This adds the one for CPUs alone, where pip's index has it.
TORCH_FOR_CPUS := torch==2.13.0+cpu
torch-for-cpus: $(DEV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check '$(TORCH_FOR_CPUS)' \
		&& $(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[train]' \
		|| echo "no $(TORCH_FOR_CPUS) in pip's index: what imports PyTorch is not tested" >&2

# The same tests with whatever build pip finds.
test-train: llvm cross $(DEV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[train]'
	$(PYTHON) -m pytest tests/unit/model tests/unit/train tests/integration/train \
		tests/integration/dataset/test_tokens.py src/llm_compiler/train

# Two Ray nodes on this machine: the pool, a node that is killed, an interrupted command; Ray Data
# over our own completions server.
test-ray: llvm cross $(DEV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[ray]' 'ray[data]' aiohttp
	$(PYTHON) -m pytest -m '' tests/integration/workers/test_ray_pool.py \
		tests/unit/test_cluster_files.py tests/end_to_end/service/test_completions.py

# Outputs at s3://, over a server of that protocol on this machine.
test-remote: llvm cross $(DEV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[remote]' 'moto[s3,server]' s3fs
	$(PYTHON) -m pytest tests/unit/test_remote_output.py tests/integration/test_s3_output.py

# The page, driven in a browser.
test-page: llvm cross $(DEV)
	@sh scripts/install_packages.sh browser
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[page]'
	cd page && npm ci --no-audit --no-fund
	$(PYTHON) -m pytest tests/end_to_end/service/test_page.py

# The page again from its sources; what it makes is committed, so that nobody needs node to use it.
page:
	cd page && npm ci --no-audit --no-fund && npm run build

check: $(DEV)
	$(VENV)/bin/ruff check src tests benchmarks scripts
	$(VENV)/bin/ruff format --check src tests benchmarks scripts
	$(VENV)/bin/mypy
	$(PYTHON) scripts/generate_docs.py --check

# The documents as a site in work/site; nothing is fetched while it is built.
docs: $(STAMP)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

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
