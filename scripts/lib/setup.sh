# Shared by scripts/demo and scripts/test (sourced by bash): what a fresh machine needs, and the build.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
scratch=${SLUICE_SCRATCH:-$root/.build}
case $scratch in /*) ;; *) scratch=$PWD/$scratch ;; esac

# What `sluice --version` shows besides the version (Package.swift): nothing in a tree that is no checkout.
commit_here() {
    [ -e "$root/.git" ] || return 0
    git -C "$root" --no-optional-locks describe --always --dirty --abbrev=7 --exclude='*' 2>/dev/null || true
}
: "${SLUICE_COMMIT=$(commit_here)}"
export SLUICE_COMMIT

say() { printf '%s\n' "$*" 2>/dev/null || true; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Whatever ends this script, `cleanup` runs, which the script defines. A signal that comes between the start of a
# program and the note of its pid waits until `started`.
starting=
caught=
trap_everything() {
    trap cleanup EXIT
    trap 'on_signal 129' HUP
    trap 'on_signal 130' INT
    trap 'on_signal 143' TERM
}

on_signal() {
    caught=$1
    [ -n "$starting" ] || exit "$caught"
}

started() {
    starting=
    [ -z "$caught" ] || exit "$caught"
}

# Runs one step in a process group of its own, so that a signal to this script is handled at once
# and `end_step` can stop the step with everything it has started.
step_pid=
step() {
    starting=yes
    set -m
    "$@" </dev/null &
    step_pid=$!
    set +m
    started
    local code=0
    wait "$step_pid" || code=$?
    step_pid=
    return "$code"
}

end_step() {
    [ -n "$step_pid" ] || return 0
    kill -INT -- "-$step_pid" 2>/dev/null
    local waited=0
    while kill -0 -- "-$step_pid" 2>/dev/null && [ "$waited" -lt 300 ]; do
        sleep 0.1
        waited=$((waited + 1))
        [ "$waited" -ne 100 ] || kill -TERM -- "-$step_pid" 2>/dev/null
    done
    kill -KILL -- "-$step_pid" 2>/dev/null
    wait "$step_pid" 2>/dev/null
    step_pid=
}

# At least version $1.$2, given as $3.
at_least() {
    local major=${3%%.*} rest=${3#*.}
    local minor=${rest%%.*}
    [ "$major" -gt "$1" ] || { [ "$major" -eq "$1" ] && [ "$minor" -ge "$2" ]; }
}

require_swift() {
    local version where="see https://www.swift.org/install/linux/"
    command -v swift >/dev/null || die "Swift 6.2 or newer is needed and there is no \`swift\` in PATH; $where"
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' | head -1)
    [ -n "$version" ] || die "\`swift --version\` does not say which version it is; Swift 6.2 or newer is needed"
    at_least 6 2 "$version" || die "Swift 6.2 or newer is needed, this is $version; $where"
}

require_python() {
    command -v python3 >/dev/null || die "Python 3.9 or newer is needed and there is no \`python3\` in PATH"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
        die "Python 3.9 or newer is needed, this is $(python3 --version 2>&1)"
}

# What a script needs besides, as PROGRAM:PACKAGE; set before `require_everything`.
needed_programs=

# The Debian packages whose content is not there. Asked by what they bring, so that other ways to have it count.
missing_packages() {
    command -v pkg-config >/dev/null || { echo libpq-dev libssl-dev liblz4-dev pkg-config; }
    if command -v pkg-config >/dev/null; then
        pkg-config --exists libpq 2>/dev/null || echo libpq-dev
        pkg-config --exists libssl libcrypto 2>/dev/null || echo libssl-dev
        pkg-config --exists liblz4 2>/dev/null || echo liblz4-dev
    fi
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    # Debian's servers are in folders of their own, and others where only root's PATH leads.
    local program places
    places=$(printf ':%s' /usr/lib/postgresql/*/bin)
    for program in ${needed_programs:-}; do
        PATH=$PATH:/usr/sbin:/sbin$places command -v "${program%:*}" >/dev/null || echo "${program#*:}"
    done
}

install_packages() {
    local missing
    missing=$(missing_packages | tr '\n' ' ')
    missing=${missing% }
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "these are missing, by their Debian names: $missing"
    if [ "$(id -u)" -ne 0 ]; then
        say "Packages are missing. Run this line, then this script again:" >&2
        say "sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends $missing'" >&2
        exit 1
    fi
    say "installing $missing"
    local log
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! step sh -c "apt-get update && apt-get install -y --no-install-recommends $missing" >"$log" 2>&1; then
        tail -20 "$log" >&2
        rm -f "$log"
        die "apt-get could not install $missing"
    fi
    rm -f "$log"
    missing=$(missing_packages | tr '\n' ' ')
    [ -z "$missing" ] || die "still missing after apt-get: $missing(is $(command -v python3) not Debian's Python?)"
}

require_everything() {
    [ "$(uname -s)" = Linux ] || die "this script needs Linux; the client library alone also builds on macOS"
    require_swift
    require_python
    install_packages
    step python3 "$root/scripts/lib/pgbin.py" # PostgreSQL with pgvector
}

# swift build in release, with more arguments. Only --show-bin-path needs the output.
build() {
    (cd "$root" && exec swift build -c release --scratch-path "$scratch" "$@")
}

# Replicas in $home: `start_replicas` brings all up, `stop_own_replicas` stops those that did not run before it.
up_began=
ran_before=

running_replicas() {
    [ -e "$home/state.json" ] || return 0
    local rows
    rows=$("$root/scripts/replicas" status --json) || [ $? -eq 3 ] || return 1
    python3 -c 'import json, sys
print(*[row["name"] for row in json.loads(sys.argv[1]) if row["state"] != "down"])' "$rows"
}

start_replicas() {
    ran_before=$(running_replicas)
    up_began=yes
    step "$root/scripts/replicas" up
}

stop_own_replicas() {
    [ -n "$up_began" ] || return 0
    local name running ours=
    running=$(running_replicas) || return 1
    for name in $running; do
        case " $ran_before " in *" $name "*) ;; *) ours="$ours $name" ;; esac
    done
    # shellcheck disable=SC2086
    [ -z "$ours" ] || "$root/scripts/replicas" down $ours
}
