#!/usr/bin/env bash
# Installs a package in a fresh Debian, runs what it brings, and removes it: try_package.sh PACKAGE
# Says what is wrong and fails, or says how long it took. Without root or debootstrap nothing is tried.
set -euo pipefail

. "$(dirname "$0")/setup.sh"

package=$(realpath "$1")
skip() {
    say "skipped: $*"
    exit 0
}
[ "$(id -u)" -eq 0 ] || skip "a fresh Debian takes root"
PATH=$PATH:/usr/sbin:/sbin
command -v debootstrap >/dev/null || skip "there is no debootstrap; it is in Debian's package of that name"

began=$(date +%s)
place=$(mktemp -d)
fresh=$place/debian
gateway=
cleanup() {
    local code=$?
    trap '' INT TERM HUP
    trap - EXIT
    set +e
    end_step
    [ -z "$gateway" ] || kill -KILL "$gateway" 2>/dev/null
    ! mountpoint -q "$fresh/proc" || umount "$fresh/proc"
    # Never through a mount: that would be this machine's.
    if mountpoint -q "$fresh/proc"; then
        say "$fresh/proc is still mounted: unmount it, and remove $place"
    else
        rm -rf "$place"
    fi
    exit "$code"
}

# What runs a command in the fresh Debian with nothing of this one's environment.
inside=(chroot "$fresh" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive)

# A step of which only a failure is worth reading.
quietly() {
    local what=$1
    shift
    if ! step "$@" >"$place/log" 2>&1; then
        tail -30 "$place/log" >&2
        die "$what failed"
    fi
    say "$what: $(($(date +%s) - began)) s"
}

expect() {
    [ "$2" = "$3" ] || die "$1 is \"$2\", not \"$3\""
}

free_ports() {
    python3 -c 'import socket
sockets = [socket.socket() for _ in range(2)]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*[each.getsockname()[1] for each in sockets])'
}

status_of() {
    no_proxy='*' python3 -c 'import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError:
    print("none")' "$1"
}

# A gateway as the service has it: another user, its configuration readable by the group only.
serve() {
    local ports port admin waited=0 code=0
    ports=$(free_ports)
    read -r port admin <<<"$ports"
    sed -i "s/:7411/:$port/; s/:7412/:$admin/" "$fresh/etc/sluice/sluice.yaml"
    starting=yes
    "${inside[@]}" setpriv --reuid=sluice --regid=sluice --clear-groups --no-new-privs \
        sluice serve --config /etc/sluice/sluice.yaml >"$place/gateway.log" 2>&1 </dev/null &
    gateway=$!
    started
    while [ "$(status_of "http://127.0.0.1:$admin/livez")" != 200 ]; do
        kill -0 "$gateway" 2>/dev/null && [ "$waited" -lt 100 ] || {
            cat "$place/gateway.log" >&2
            die "the gateway does not answer"
        }
        sleep 0.2
        waited=$((waited + 1))
    done
    # There is no database.
    expect "/readyz" "$(status_of "http://127.0.0.1:$admin/readyz")" 503
    # Signals that come before it serves end it, too.
    until grep -q 'serving' "$place/gateway.log"; do
        [ "$waited" -lt 100 ] || die "the gateway does not serve"
        sleep 0.2
        waited=$((waited + 1))
    done
    "${inside[@]}" sluice ping --count 1 --gateway "sluice://127.0.0.1:$port" >/dev/null ||
        die "the gateway takes no client"
    kill -TERM "$gateway"
    wait "$gateway" || code=$?
    gateway=
    expect "the gateway's exit code" "$code" 0
}

trap_everything
# Fetched once.
cache=$scratch/debootstrap
mkdir -p "$cache"
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2086
quietly "a fresh $suite" debootstrap --variant=minbase --cache-dir="$cache" \
    "$suite" "$fresh" ${SLUICE_DEBIAN_MIRROR:-}
mount -t proc proc "$fresh/proc"
[ ! -e "$fresh/opt/swift" ] || die "there is a Swift toolchain in the fresh Debian"
cp "$package" "$fresh/tmp/sluice.deb"
quietly "installed" "${inside[@]}" apt-get install -y --no-install-recommends /tmp/sluice.deb

version=$(dpkg-deb --field "$package" Version)
expect "the version" "$("${inside[@]}" sluice --version | cut -d ' ' -f 1)" "${version%%~*}"
libraries=$("${inside[@]}" ldd /usr/lib/sluice/sluice)
expect "what lacks a library" "$(grep 'not found' <<<"$libraries" || true)" ""
expect "where Swift comes from" \
    "$(sed -n 's,.*=> \(.*\)/libswift[A-Z_].*,\1,p' <<<"$libraries" | sort -u)" /usr/lib/sluice
# Not in a toolchain that may be there.
expect "where it looks" \
    "$(readelf -d "$fresh/usr/lib/sluice/sluice" | sed -n 's/.*RUNPATH.*\[\(.*\)\].*/\1/p')" "\$ORIGIN"
expect "the configuration's rights" \
    "$("${inside[@]}" stat -c '%a %U:%G' /etc/sluice/sluice.yaml)" "640 root:sluice"
expect "the service's user" "$("${inside[@]}" id -un sluice)" sluice
"${inside[@]}" sluice check --config /etc/sluice/sluice.yaml >/dev/null ||
    die "the configuration that it brings is wrong"
for sample in "$fresh"/usr/share/doc/sluice/examples/*.yaml; do
    "${inside[@]}" SLUICE_PASSWORD=p SLUICE_WEST=p SLUICE_EAST=p SLUICE_ZONE=west \
        sluice check --config "${sample#"$fresh"}" >/dev/null || die "$(basename "$sample") is wrong"
done
"${inside[@]}" bash -n /usr/share/bash-completion/completions/sluice || die "the completions for bash are wrong"
expect "files that differ" "$("${inside[@]}" dpkg --verify sluice)" ""
serve

# What somebody has written there stays, also over a new version, until it is purged.
quietly "installed anew" "${inside[@]}" dpkg -i /tmp/sluice.deb
grep -q ':7411' "$fresh/etc/sluice/sluice.yaml" && die "a new version replaces the configuration"
expect "the configuration's rights" \
    "$("${inside[@]}" stat -c '%a %U:%G' /etc/sluice/sluice.yaml)" "640 root:sluice"
"${inside[@]}" apt-get remove -y sluice >/dev/null 2>&1 || die "it cannot be removed"
[ -e "$fresh/etc/sluice/sluice.yaml" ] || die "removing it takes the configuration away"
left=$(cd "$fresh" && find usr -name '*sluice*' | head)
expect "what removing it leaves" "$left" ""
"${inside[@]}" apt-get purge -y sluice >/dev/null 2>&1 || die "it cannot be purged"
[ ! -e "$fresh/etc/sluice" ] || die "purging it leaves /etc/sluice"
say "installed, served, stopped and removed: $(($(date +%s) - began)) s in all"
