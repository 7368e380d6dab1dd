#!/bin/sh
# Makes .venv and installs what requirements.lock pins; does nothing where that is already so. `make` calls it first.
#
# PYTHON=python3.12 names the Python to use, and replaces a .venv that has another version. pip and uv find packages
# where the user's own settings (PIP_*, UV_*, pip.conf, uv.toml) say.
set -eu
cd "$(dirname "$0")"
export PIP_USER=0 UV_REQUIRE_HASHES=0 # a user's own defaults that would not work here

fail() {
    echo "set-up: $1" >&2
    exit 1
}

# What a complete .venv was made from. Line 1, the folder: scripts and the editable install hold its path.
state() {
    pwd -P
    cat requirements.lock pyproject.toml setup.sh | cksum
}

is_wanted_python() {
    [ -z "${PYTHON-}" ] || [ "$("$PYTHON" -V 2>&1)" = "$(.venv/bin/python -V 2>&1)" ]
}

is_current() {
    [ "$(cat .venv/.complete 2>/dev/null)" = "$(state)" ] && .venv/bin/python -c 'import wellfit' 2>/dev/null &&
        is_wanted_python
}

# Without its mark a .venv was interrupted and may hold half a package that looks whole.
is_reusable() {
    [ "$(head -n 1 .venv/.complete 2>/dev/null)" = "$(pwd -P)" ] && .venv/bin/python -c 'import pip' 2>/dev/null &&
        is_wanted_python
}

# Two set-ups at once would delete each other's .venv. The file is made exclusively (set -C) and holds the process id.
wait_for_turn() {
    [ -w . ] || fail "$PWD is not writable"
    told=
    until (set -C && echo $$ >.venv.lock) 2>/dev/null; do
        owner=$(cat .venv.lock 2>/dev/null) || continue
        if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
            rm -f .venv.lock
            continue
        fi
        [ -n "$told" ] || echo "set-up: waiting for the one that is running here"
        told=yes
        sleep 1
    done
    trap 'rm -f .venv.lock' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

check_python() {
    command -v "$python" >/dev/null ||
        fail "$python not found; install Python 3.11 or newer, or name one: PYTHON=python3.12"
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' ||
        fail "wellfit needs Python >=3.11,<3.15, but $python is $("$python" -V 2>&1); name another: PYTHON=python3.12"
}

check_folder() {
    "$python" -c 'import os; os.getcwd().encode()' 2>/dev/null ||
        fail "the name of this folder, or of one above it, is not UTF-8, and DVC and MLflow fail there: rename it"
}

make_venv() {
    echo "set-up: making .venv with $("$python" -V): about a minute, and 3 GB of downloads the first time"
    trouble=$("$python" -m venv --clear .venv 2>&1) || fail "$python cannot make .venv: $trouble"
}

install_uv() {
    sed -n '/^uv==/,/^ *#/p' requirements.lock >.venv/uv.txt
    echo "set-up: installing uv"
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes \
        --requirement .venv/uv.txt || fail "pip could not install uv, see above"
}

# Two hundred lines of package names say nothing; uv's bars would need a terminal.
shorten() {
    downloads=
    while IFS= read -r line; do
        case $line in
        ' + '* | ' - '* | ' ~ '* | *Building\ * | *Built\ * | Downloading\ * | Resolved\ * | Uninstalled\ *) ;;
        ' Downloaded '*) downloads=yes && printf '%s ' "${line# Downloaded }" ;;
        Prepared\ *) [ -z "$downloads" ] || echo ;;
        Installed\ *) echo "        $line, compiling their bytecode" ;;
        Bytecode\ *) echo "        $line" ;;
        *) echo "$line" ;;
        esac
    done
}

install_packages() {
    echo "set-up: installing the packages of requirements.lock"
    # A package without a wheel is built with what the lock pins, too.
    if .venv/bin/uv pip sync --python .venv/bin/python --color never --require-hashes --compile-bytecode \
        --build-constraints requirements.lock requirements.lock &&
        .venv/bin/uv pip install --python .venv/bin/python --quiet --no-deps --no-build-isolation --editable .; then
        state >.venv/.complete
    fi 2>&1 | shorten
    [ -e .venv/.complete ] ||
        fail "uv could not install the packages, see above; what was loaded is kept for the next try"
}

# By default DVC keeps a cache that all users of the machine can write to.
keep_dvc_private() {
    [ ! -d .dvc ] || [ ! -x .venv/bin/dvc ] ||
        .venv/bin/dvc config --quiet --local core.site_cache_dir "$PWD/.dvc/tmp/site" || fail "dvc could not be set up"
}

is_in_git() {
    folder=$PWD
    until [ -e "$folder/.git" ]; do
        [ -n "$folder" ] || return 1
        folder=${folder%/*}
    done
}

# DVC refuses to work where there is no git, as in an unpacked archive, unless it is told; experiments alone need git.
tell_dvc_of_git() {
    [ -d .dvc ] && [ -x .venv/bin/dvc ] || return 0
    if is_in_git; then
        ! grep -qs no_scm .dvc/config.local || .venv/bin/dvc config --quiet --local --unset core.no_scm
    else
        grep -qs no_scm .dvc/config.local || .venv/bin/dvc config --quiet --local core.no_scm true
    fi || fail "dvc could not be set up"
}

is_current && tell_dvc_of_git && exit
wait_for_turn
is_current && tell_dvc_of_git && exit
if is_reusable; then
    rm .venv/.complete
else
    python=${PYTHON:-python3}
    check_python
    check_folder
    [ ! -L .venv ] || fail ".venv is a link, and set-up would empty what it leads to: remove it"
    rm -f .venv/.complete
    make_venv
fi
install_uv
install_packages
keep_dvc_private
tell_dvc_of_git
echo "set-up: complete"
