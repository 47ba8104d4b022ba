# What the scripts of this folder share. Each runs in the package's folder, with the built programs in
# $WINNOW_BINARIES, and a fresh folder in $work that is removed at the end. Exit status 77 means skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${WINNOW_BINARIES:=$PWD/.build/release}"
export WINNOW_BINARIES
work=$(mktemp -d)
finish() { :; }
trap 'finish; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# needs TOOL…: skips the script if one is missing.
needs() {
    local tool
    for tool in "$@"; do
        command -v "$tool" > /dev/null || { printf 'no %s here\n' "$tool"; exit 77; }
    done
}

# until_true SECONDS COMMAND…: waits until the command succeeds.
until_true() {
    local seconds=$1 started=$SECONDS
    shift
    until "$@" > /dev/null 2>&1; do
        [ $((SECONDS - started)) -lt "$seconds" ] || fail "not within $seconds s: $*"
        sleep 0.2
    done
}

# check_options PROGRAM SUBCOMMAND FILE…: every --option in lines of the files that are no comments is the subcommand's.
check_options() {
    local program=$1 subcommand=$2 option
    shift 2
    "$WINNOW_BINARIES/$program" "$subcommand" --help > "$work/help" || fail "there is no $program $subcommand"
    while read -r option; do
        grep -q -- "^ *$option\b" "$work/help" || fail "$program $subcommand has no option $option, but $* use it"
    done < <(sed 's/^ *#.*//' "$@" | grep -o -- '--[a-z][a-z-]*' | sort -u)
}

# blocks LANGUAGE PAGE: the lines of the page's fenced blocks in a language.
blocks() {
    awk -v language="$1" '
        /^ *```/ {
            if (inside) inside = 0
            else { match($0, /^ */); indent = RLENGTH; inside = 1; wanted = substr($0, indent + 4) == language }
            next
        }
        inside && wanted { print substr($0, indent + 1) }' "$2"
}
