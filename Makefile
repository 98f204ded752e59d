# Each target sets up all it needs in .venv, from a bare Python 3.11 or newer.
PYTHON ?= python3
PYTHON_FLOOR ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SETUP := setup.cfg pyproject.toml
# The version the tests are known to pass with; where pip finds a CPU build of it, that is
# taken, elsewhere the plain build, which carries gigabytes for GPUs.
TORCH := torch==2.13.0
QUIET := TF_CPP_MIN_LOG_LEVEL=3
PYTEST := $(BIN)/pytest -n 2 --dist loadgroup

.PHONY: demo bench bench-gpu docs lint clean
.PHONY: check test test-tensorflow test-jax test-torch test-floors test-wheel soak

demo: $(VENV)/.demo
	$(QUIET) KERAS_BACKEND=tensorflow $(BIN)/python examples/train_repeat_copy.py

# Other packages' pins stay out of the environment that the tests run in.
bench: $(VENV)-bench/.done
	$(VENV)-bench/bin/python benchmarks/run.py $(BENCH)
	KERAS_BACKEND=jax $(VENV)-bench/bin/python benchmarks/recall.py
	$(VENV)-bench/bin/python benchmarks/sparse.py \
	    --parts growth pairs large recall learning
	$(VENV)-bench/bin/python benchmarks/product_key.py
	$(VENV)-bench/bin/python benchmarks/options.py
	$(VENV)-bench/bin/python benchmarks/serving.py \
	    --export saved_models/copy-ntm/serving/1 --output benchmarks/serving.json --page
	KERAS_BACKEND=tensorflow $(VENV)-bench/bin/python benchmarks/runtimes.py

# In the environment of PYTHON, which has JAX and PyTorch with CUDA, keras and dnc.
bench-gpu:
	$(PYTHON) benchmarks/gpu.py $(BENCH)

# Strict: a dead link, or a name that is not there, fails. Equations, diagrams and the demo
# page need npm; without it equations are shown as TeX, and the page says how to build its
# models.
docs: $(VENV)/.docs
	$(BIN)/python docs/assets/build.py
	$(QUIET) KERAS_BACKEND=tensorflow $(BIN)/python docs/demo/build.py
	$(BIN)/mkdocs build --strict --quiet

# What to run after every edit: equations, refusals, structure.
check: $(VENV)/.test
	$(QUIET) KERAS_BACKEND=tensorflow $(PYTEST) -m unit

# The tiers unit, contract and slow; tests/conftest.py says which test is in which.
test: test-tensorflow test-jax test-torch

test-tensorflow: $(VENV)/.test
	$(QUIET) KERAS_BACKEND=tensorflow $(PYTEST) -m "not soak"

# Kills, many processes, 100,000 updates.
soak: $(VENV)/.test
	$(QUIET) KERAS_BACKEND=tensorflow $(BIN)/pytest -m soak
	$(QUIET) KERAS_BACKEND=tensorflow $(BIN)/python benchmarks/soak.py

# On JAX and PyTorch: loops and gradients, the contract with Keras, and each paper's numbers
# against its oracle and against other programs. Stories and refusals do not depend on the
# backend. JAX spends most of its time compiling: a third less without LLVM's slowest passes,
# and no program is compiled twice.
LAYERS := tests/backend tests/ops tests/cells tests/bptt
ORACLES := tests/dnc/test_goldens.py tests/dnc/test_goldens_of_improvements.py \
    tests/dnc/test_cell_oracle.py tests/dnc/test_sparse_links.py tests/test_bidirectional.py \
    tests/sparse/test_cell_oracle.py \
    tests/sparse/test_search.py tests/sparse/test_training.py tests/ntm \
    tests/test_layouts.py tests/test_mann.py tests/test_memn2n.py tests/test_product_key.py
test-jax test-torch: test-%: $(VENV)/.test
	$(QUIET) JAX_DISABLE_MOST_OPTIMIZATIONS=1 KERAS_BACKEND=$* \
	    JAX_COMPILATION_CACHE_DIR=$(CURDIR)/$(VENV)/jax-cache \
	    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.1 $(PYTEST) -m "not soak" \
	    $(LAYERS) tests/conformance tests/training $(ORACLES) \
	    tests/saved_models tests/export/test_keras_transport.py \
	    tests/test_docs.py tests/test_readme.py

# The oldest versions that setup.cfg allows, on the oldest Python, TensorFlow alone: the
# tests that need no long training.
test-floors: $(VENV)-floors/.done
	$(QUIET) KERAS_BACKEND=tensorflow $(VENV)-floors/bin/pytest -n 2 --dist loadgroup \
	    $(LAYERS) tests/dnc \
	    tests/inspect tests/ntm tests/training tests/tasks tests/test_mann.py \
	    tests/conformance/test_sequences.py \
	    tests/export/test_client.py tests/export/test_guide.py \
	    tests/export/test_serving.py \
	    tests/saved_models/test_reader.py \
	    tests/test_saved_models.py tests/test_structure.py -m "not soak"

# What is shipped, installed into an empty environment, away from the sources.
test-wheel: $(VENV)-wheel/.done
	mkdir -p $(VENV)-wheel/tests && cp -r tests pyproject.toml $(VENV)-wheel/tests
	cd $(VENV)-wheel/tests && $(QUIET) KERAS_BACKEND=tensorflow ../bin/pytest -n 2 \
	    $(LAYERS) tests/dnc tests/tasks tests/inspect tests/training \
	    tests/saved_models/test_reader.py tests/test_main.py

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python $(SETUP)
	$(BIN)/python -m pip install --quiet --editable '.[plot]'
	touch $@

# mkdocstrings wraps signatures with ruff.
$(VENV)/.docs: $(VENV)/bin/python $(SETUP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]' ruff
	touch $@

$(VENV)-bench/.done: $(SETUP) benchmarks/requirements.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet '$(TORCH)'
	$(VENV)-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	$(VENV)-bench/bin/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.test: $(VENV)/bin/python $(SETUP)
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[test,jax,torch,runtimes]'
	touch $@

# tensorflow-metadata from 1.18 on was made for a protobuf that TensorFlow 2.18 refuses.
$(VENV)-floors/.done: $(SETUP)
	$(PYTHON_FLOOR) -m venv $(VENV)-floors
	grep -oE '[A-Za-z_-]+ >= [0-9.]+' setup.cfg | sed 's/ >= /==/' > $(VENV)-floors/floors.txt
	echo 'tensorflow-metadata<1.18' >> $(VENV)-floors/floors.txt
	$(VENV)-floors/bin/python -m pip install --quiet \
	    --constraint $(VENV)-floors/floors.txt --editable '.[test]'
	touch $@

$(VENV)-wheel/.done: $(SETUP) $(shell find keras_dnc saved_models -type f -not -name '*.pyc')
	rm -rf dist && $(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet build
	$(VENV)-wheel/bin/python -m build --outdir dist .
	$(VENV)-wheel/bin/python -m pip install --quiet "$$(echo dist/*.whl)[test]"
	touch $@

$(VENV)/.lint: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet ruff mypy numpy keras
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-bench $(VENV)-floors $(VENV)-wheel build dist site docs/demo/built *.egg-info
