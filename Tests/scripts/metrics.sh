# promtool finds no fault with /metrics: before a worker is there, while workers compute and the ranking settles, and
# after a worker's death; and what the metrics say is what happened.
source "$(dirname "$0")/common.sh"
needs promtool curl

"$WINNOW_BINARIES/winnow-demo" images --output "$work/images" --train 300 --test 10 > /dev/null
pids=()
finish() {
    kill -9 "${pids[@]}" 2> /dev/null || true
    wait "${pids[@]}" 2> /dev/null || true
}
"$WINNOW_BINARIES/winnow-coordinator" run --model demo/resnet.safetensors --data "$work/images" --masks 50000 \
    --images 150 --calibration-images 64 --bind tcp://127.0.0.1:0 --http 127.0.0.1:0 --run "$work/live.run" \
    > "$work/coordinator.log" 2>&1 &
pids+=("$!")
until_true 60 grep -q "listening at" "$work/coordinator.log"
endpoint=$(grep -o 'listening at tcp://[^ ]*' "$work/coordinator.log" | sed 's/.* //')
page=$(grep -o 'live page is at http[^ ]*' "$work/coordinator.log" | sed 's/.* //')

metrics() { curl --silent --fail "${page%/}/metrics"; }
# value NAME: of a metric without labels.
value() { metrics | sed -n "s/^$1 //p"; }
is() { [ "$(value "$1")" = "$2" ]; }
is_settling() { metrics | grep -q '^winnow_ranking_split_half_correlation [-0-9]'; }
check() { metrics | promtool check metrics || fail "promtool finds fault with /metrics $1"; }

until_true 60 is winnow_workers 0
check "without a worker"
for number in 1 2; do
    "$WINNOW_BINARIES/winnow-worker" serve --connect "$endpoint" --threads 1 --cache "$work/cache" --once \
        > "$work/worker$number.log" 2>&1 &
    pids+=("$!")
done
until_true 60 is winnow_workers 2
until_true 120 is_settling
check "while workers compute"
[ "$(value winnow_evaluations_total)" -gt 0 ] || fail "winnow_evaluations_total is $(value winnow_evaluations_total)"
[ "$(value winnow_masks)" = 50000 ] || fail "winnow_masks is $(value winnow_masks)"
kill -9 "${pids[1]}"
until_true 30 is winnow_workers 1
check "after a worker's death"
[ "$(value winnow_leases_requeued_total)" -gt 0 ] || fail "no lease came back from the killed worker"
kill -9 "${pids[2]}"
until_true 60 is winnow_stalled 1
check "while there is no progress"
echo "promtool is content with $(metrics | grep -vc '^#') values of $(metrics | grep -c '^# TYPE') metrics"
