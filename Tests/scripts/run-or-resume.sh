# SIGTERM ends a run in good order with status 130, and the same command goes on with it to the report.
source "$(dirname "$0")/common.sh"

export PATH=$WINNOW_BINARIES:$PATH
winnow-demo images --output "$work/the images" --train 300 --test 10 > /dev/null
export WINNOW_RUN_OPTIONS="--model $PWD/demo/resnet.safetensors --data '$work/the images' --masks 400 --images 100"
start=(deploy/run-or-resume "$work/run" --local-workers 1 --worker-threads 1 --report "$work/report")

"${start[@]}" > "$work/log" 2>&1 &
run=$!
finish() { kill -9 "$run" 2> /dev/null || true; }
joined() { grep -q "joined" "$work/log"; }
until_true 60 joined
kill -TERM "$run"
status=0
wait "$run" || status=$?
[ $status = 130 ] || fail "status $status after SIGTERM: $(tail -n 5 "$work/log")"
grep -q "winnow-coordinator resume" "$work/log" || fail "it does not say how to go on"

"${start[@]}" > "$work/log" 2>&1 || fail "it does not go on: $(tail -n 5 "$work/log")"
[ "$(wc -l < "$work/report/ranking.csv")" -gt 100 ] || fail "no ranking: $(tail -n 5 "$work/log")"

# An open quote is an error.
status=0
WINNOW_OPTIONS="--report 'my report" deploy/run-or-resume "$work/other" > "$work/log" 2>&1 || status=$?
[ $status = 64 ] || fail "status $status with an open quote"
grep -q "a quote is open in WINNOW_OPTIONS" "$work/log" || fail "it does not say what is wrong: $(cat "$work/log")"

# An interrupted run writes no report, so the one that resumes it must: every configuration gives --report to both.
for file in deploy/systemd/example.conf deploy/kubernetes/run.env deploy/compose/compose.yaml deploy/slurm/coordinator.sbatch; do
    grep -A 1 'WINNOW_OPTIONS' "$file" | grep -- '--report' > /dev/null || fail "$file has no --report for a run that goes on"
    if grep -A 1 'WINNOW_RUN_OPTIONS' "$file" | sed '/[^_]WINNOW_OPTIONS/,$d; /^WINNOW_OPTIONS/,$d' | grep -- '--report' > /dev/null; then
        fail "$file gives --report twice"
    fi
done
