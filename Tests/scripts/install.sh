# deploy/install puts the programs, manual pages and completions where they belong, and takes all of it away again.
source "$(dirname "$0")/common.sh"

export DESTDIR=$work/image PREFIX=/usr
deploy/install --binaries "$WINNOW_BINARIES"
for program in winnow-coordinator winnow-worker; do
    "$DESTDIR/usr/bin/$program" --version | grep -Eq "^$program [0-9]+\.[0-9]+\.[0-9]+" || fail "$program has no version"
    for file in man/man1/$program.1 bash-completion/completions/$program zsh/site-functions/_$program \
        fish/vendor_completions.d/$program.fish; do
        [ -s "$DESTDIR/usr/share/$file" ] || fail "no $file"
    done
    case $program in winnow-coordinator) subcommand=resume ;; winnow-worker) subcommand=serve ;; esac
    # shellcheck disable=SC2016 # the other shells expand these
    completed=$(bash -c '
        source "$1"; function=$(complete -p "$2" | sed "s/.*-F \([^ ]*\).*/\1/")
        COMP_WORDS=("$2" "${3:0:3}") COMP_CWORD=1; "$function" "$2" "${3:0:3}" "$2"; echo "${COMPREPLY[*]}"
        ' - "$DESTDIR/usr/share/bash-completion/completions/$program" $program $subcommand)
    [ "$completed" = $subcommand ] || fail "bash completes ${subcommand:0:3} of $program to '$completed'"
    if command -v zsh > /dev/null; then
        # shellcheck disable=SC2016
        completed=$(zsh -f -c '
            fpath=($1 $fpath); autoload -Uz compinit; compinit -u -D; autoload +X "_$2"; echo $_comps[$2]
            ' - "$DESTDIR/usr/share/zsh/site-functions" $program)
        [ "$completed" = "_$program" ] || fail "zsh does not complete $program: $completed"
    fi
    if command -v fish > /dev/null; then
        completed=$(HOME=$work fish --no-config -c "
            source $DESTDIR/usr/share/fish/vendor_completions.d/$program.fish; complete -C '$program ${subcommand:0:3}'")
        grep -q "^$subcommand" <<< "$completed" || fail "fish completes ${subcommand:0:3} of $program to '$completed'"
    fi
    page=$DESTDIR/usr/share/man/man1/$program.1
    if command -v man > /dev/null; then
        lexgrog "$page" | grep -q "$program - " || fail "whatis cannot read $page"
        MANWIDTH=80 man --warnings -l "$page" 2> "$work/warnings" > "$work/page"
        [ ! -s "$work/warnings" ] || fail "man warns: $(cat "$work/warnings")"
        grep -q "EXIT STATUS" "$work/page" || fail "man shows too little of $page"
    fi
    if command -v mandoc > /dev/null; then mandoc -T lint -W warning "$page" || fail "mandoc warns of $page"; fi
done

deploy/install --uninstall
left=$(find "$DESTDIR" -type f)
[ -z "$left" ] || fail "left behind: $left"

if deploy/install --binaries "$work" 2> "$work/error"; then fail "no programs, and no complaint"; fi
grep -q "no program" "$work/error" || fail "unclear: $(cat "$work/error")"

# A folder that is not the user's is written with sudo, here a stand-in that says so.
if [ "$(id -u)" != 0 ]; then
    [ ! -w /usr ] || exit 0
    mkdir "$work/bin"
    printf '#!/bin/sh\necho "as root: $*"\n' > "$work/bin/sudo"
    chmod +x "$work/bin/sudo"
    DESTDIR="" PATH=$work/bin:$PATH deploy/install --uninstall > "$work/said"
    grep -q "as root: rm -f /usr/bin/winnow-worker" "$work/said" \
        || fail "no sudo for a folder that is not the user's"
fi
