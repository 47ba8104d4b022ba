# The image's parts exist, the list of libraries that it installs is what the programs load, and the options in the
# compose file are the programs' own. No Docker is needed.
source "$(dirname "$0")/common.sh"

# The project files that the Dockerfile copies.
sed -n 's/^COPY \([^-].*\) [^ ]*$/\1/p' deploy/compose/Dockerfile | tr ' ' '\n' | while read -r path; do
    [ -e "$path" ] || fail "the Dockerfile copies '$path', which is not there"
done

# Every library that the programs load comes from the runtime packages, or from those of every Debian.
needs dpkg-query ldd apt-cache
mapfile -t run < <(deploy/install-dependencies --list --run)
apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    "${run[@]}" 2> /dev/null | grep -v '^[ |<]' | sed 's/:.*//' | sort -u > "$work/closure"
if [ ! -s "$work/closure" ]; then echo "no package lists here; run apt-get update"; exit 77; fi
for program in winnow-coordinator winnow-worker; do
    # Swift's own libraries are inside the installed programs.
    ldd "$WINNOW_BINARIES/$program" | sed -n 's,.* => \(/[^ ]*\) .*,\1,p' | grep -v /swift/ | while read -r library; do
        package=$( (dpkg-query --search "$library" "$(realpath "$library")" 2> /dev/null || true) | sed 's/:.*//' | head -n 1)
        case $package in libc6 | libgcc-s1 | libstdc++6) continue ;; esac
        grep -qx "$package" "$work/closure" || fail "$program loads $library of $package, which the image lacks"
    done
done

check_options winnow-worker serve <(grep 'command: \[winnow-worker' deploy/compose/compose.yaml)
check_options winnow-coordinator run <(grep -A 1 'WINNOW_RUN_OPTIONS\|WINNOW_OPTIONS' deploy/compose/compose.yaml)
check_options winnow-coordinator resume <(grep -A 1 'WINNOW_OPTIONS' deploy/compose/compose.yaml)

if docker compose version > /dev/null 2>&1; then docker compose -f deploy/compose/compose.yaml config --quiet; fi
