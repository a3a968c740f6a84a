#!/bin/sh
# Everything that needs a GPU, in one command: see benchmarks/gpu_suite.py.
set -eu
cd "$(dirname "$0")/.."
exec "${PYTHON:-.venv/bin/python}" -m benchmarks.gpu_suite "$@"
