#!/bin/sh
# Makes .venv and installs the package with everything it needs. Checks the machine first, so that what
# is missing is said before anything is downloaded. Usage: tools/setup.sh VENV
set -eu

venv=$1
extras='.[ros,piper,openvino,tensorrt,sim,train,dev]'

fail() {
    printf '\nsvam_ros cannot be set up: %s\n' "$1" >&2
    exit 1
}

# A name on PATH may be a shim without an interpreter behind it, so every candidate is run.
find_python() {
    for candidate in ${PYTHON:-} python3 python3.12 python3.11 python3.13; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

python=$(find_python) || fail "it needs Python 3.11, 3.12 or 3.13.
  Debian 12, Ubuntu 24.04:  sudo apt-get install python3 python3-venv
  Ubuntu 22.04:             sudo apt-get install python3.11 python3.11-venv
  Elsewhere: install one and say where it is:  make setup PYTHON=/path/to/python3.12"

"$python" -c 'import ensurepip, venv' 2>/dev/null || {
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fail "$python cannot make virtual environments.
  sudo apt-get install python$version-venv"
}

# The simulated camera renders through EGL: the loader, and a driver behind it (Mesa's or NVIDIA's).
"$python" - <<'CHECK' || fail "the simulated camera needs EGL, and this machine has no library for it.
  sudo apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
import ctypes, sys

def loads(name):
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True

sys.exit(not (loads("libEGL.so.1") and (loads("libEGL_mesa.so.0") or loads("libEGL_nvidia.so.0"))))
CHECK

echo "Installing into $venv with $("$python" --version); the first time this takes some minutes ..."
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
[ -t 1 ] && quiet='' || quiet='--quiet'
"$venv/bin/python" -m pip install $quiet --disable-pip-version-check -c constraints.txt -e "$extras"
