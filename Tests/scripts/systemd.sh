# systemd accepts the units, finds them well closed off, and the options in the examples are the programs' own.
source "$(dirname "$0")/common.sh"
needs systemd-analyze

# The units as installed, except for the programs' paths.
for unit in deploy/systemd/*.service; do
    sed "s,/usr/local/bin/,$WINNOW_BINARIES/,; s,/usr/local/lib/winnow/,$PWD/deploy/," "$unit" > "$work/${unit##*/}"
done
cp "$work/winnow-coordinator@.service" "$work/winnow-coordinator@example.service"
for unit in winnow-worker winnow-coordinator@example; do
    systemd-analyze verify --man=no --recursive-errors=no "$work/$unit.service" > "$work/said" 2>&1 \
        || fail "$unit: $(cat "$work/said")"
    if grep "$unit" "$work/said"; then fail "$unit has warnings"; fi
    # Exposure from 0.0 (closed) to 10.0 (open), here in tenths.
    systemd-analyze security --offline=yes --threshold=25 "$work/$unit.service" > "$work/said" 2>&1 \
        || fail "$unit is too open: $(tail -n 1 "$work/said")"
done

check_options winnow-worker serve deploy/systemd/winnow-worker.service deploy/systemd/worker.conf
check_options winnow-coordinator run deploy/systemd/example.conf
