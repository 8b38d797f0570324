# Shared by scripts/test (sourced by bash): the thread sanitizer.

# The tests of the libraries, in a build where every access to memory is watched. A race is reported where it happens
# and ends the run at once.
test_for_races() {
    scratch=${SLUICE_TSAN_SCRATCH:-$root/.build-tsan}
    case $scratch in /*) ;; *) scratch=$PWD/$scratch ;; esac
    cleanup() {
        local code=$?
        trap '' INT TERM HUP PIPE
        trap - EXIT
        end_step
        exit "$code"
    }
    trap_everything
    [ "$(uname -s)" = Linux ] || die "this script needs Linux"
    require_swift
    require_python
    install_packages
    say "building the tests for the thread sanitizer in $scratch; the first time takes several minutes"
    step build --build-tests --sanitize thread
    local bundle code=0
    bundle=$(build --show-bin-path)/sluicePackageTests.xctest
    say "built in $(($(date +%s) - began)) s"
    cd "$root"
    # Run as it is, and not by \`swift test\`, which would make 1 of every exit code.
    export TSAN_OPTIONS="halt_on_error=1 exitcode=66 second_deadlock_stack=1 suppressions=$root/scripts/lib/tsan.supp"
    step "$bundle" --testing-library swift-testing --no-parallel --skip SluiceIntegrationTests "$@" || code=$?
    say "the thread sanitizer took $(($(date +%s) - began)) s"
    return "$code"
}
