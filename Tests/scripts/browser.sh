# A real browser shows the live page of a real run, while workers are there, when one is killed and when none is left,
# and then the report: nothing in the console, every plot drawn, tables that sort and filter, and nothing wider than a
# narrow screen. With $WINNOW_SCREENSHOTS set to a folder, what was seen is kept there.
source "$(dirname "$0")/common.sh"
needs curl
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) \
    || { echo "no chromium here"; exit 77; }

"$WINNOW_BINARIES/winnow-demo" images --output "$work/images" --train 300 --test 10 > /dev/null
pids=()
finish() { kill -9 "${pids[@]}" 2> /dev/null || true; }
"$WINNOW_BINARIES/winnow-coordinator" run --model demo/resnet.safetensors --data "$work/images" --masks 50000 \
    --images 150 --calibration-images 64 --bind tcp://127.0.0.1:0 --http 127.0.0.1:0 --run "$work/live.run" \
    > "$work/coordinator.log" 2>&1 &
coordinator=$!
pids+=("$coordinator")
until_true 60 grep -q "listening at" "$work/coordinator.log"
endpoint=$(grep -o 'listening at tcp://[^ ]*' "$work/coordinator.log" | sed 's/.* //')
page=$(grep -o 'live page is at http[^ ]*' "$work/coordinator.log" | sed 's/.* //')

start_worker() {
    "$WINNOW_BINARIES/winnow-worker" serve --connect "$endpoint" --threads 1 --cache "$work/cache" --once \
        > "$work/worker.log" 2>&1 &
    worker=$!
    pids+=("$worker")
}

# visit NAME ADDRESS [OPTION…]: saves the page, after its scripts have run, as NAME.html; the console must stay empty.
visit() {
    local name=$work/$1 address=$2
    shift 2
    timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
        --user-data-dir="$work/profile" --enable-logging=stderr --virtual-time-budget=4000 "$@" --dump-dom "$address" \
        > "$name.html" 2> "$name.console" || fail "the browser gave up on $address: $(tail -n 5 "$name.console")"
    if grep "CONSOLE" "$name.console"; then fail "$address has errors in the console"; fi
    [ -z "${WINNOW_SCREENSHOTS:-}" ] || timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu \
        --disable-dev-shm-usage --hide-scrollbars --user-data-dir="$work/profile" --window-size=1200,1500 \
        --virtual-time-budget=4000 --screenshot="$WINNOW_SCREENSHOTS/${name##*/}.png" "$address" 2> /dev/null
}
# shows NAME TEXT: the visited page contains the text.
shows() { grep -qE "$2" "$work/$1.html" || fail "the page '$1' does not show: $2"; }
snapshot_has() { curl --silent --fail "${page%/}/snapshot.json" | grep -q "$1"; }

start_worker
first=$worker
start_worker
until_true 120 snapshot_has '"splitHalfCorrelation"'
visit working "$page"
shows working 'id="phase"[^>]*>running<'
shows working 'from [0-9,]+ of 50,000 masks'
shows working 'id="workers-count">2<'
# With few masks the halves may disagree, which gives a negative number.
shows working 'id="settled">-?[01]\.[0-9]'
shows working 'id="stall"[^>]*hidden'
shows working '<svg id="throughput".*<polyline'
shows working '<svg id="least".*class="interval"'
[ "$(grep -o '<tr[^>]*><td>' "$work/working.html" | wc -l)" = 2 ] || fail "the live page has no row for each worker"

kill -9 "$first"
until_true 30 snapshot_has '"isConnected":false'
visit one-killed "$page"
shows one-killed 'id="workers-count">1<'
shows one-killed '<tr class="gone">.*gone, '

kill -9 "$worker"
until_true 60 snapshot_has '"stall":"'
visit none-left "$page" --window-size=390,900
shows none-left 'id="stall"[^>]*>[^<]+winnow-worker serve --connect'
if grep -E 'id="stall"[^>]*hidden' "$work/none-left.html"; then fail "nothing says why there is no progress"; fi
curl --silent --fail "${page%/}/health" | grep -q "no progress" || fail "/health does not say it"

kill -TERM "$coordinator"
wait "$coordinator" || [ $? = 130 ] || fail "the run failed: $(tail -n 5 "$work/coordinator.log")"
"$WINNOW_BINARIES/winnow-coordinator" report --run "$work/live.run" --report "$work/report" > /dev/null

# The report of the evaluations, unchanged and driven by a script appended to its own.
visit report "file://$work/report/report.html"
for plot in "Importance of every filter" "one layer are disabled" "Predicted against measured" "as masks arrived" \
    "Importance against the L1 norm" "Accuracy against the share of FLOPs" "Loss against the share of FLOPs" \
    "one row per layer" "leases of every worker"; do
    grep -E "<svg[^>]*aria-label=\"[^\"]*$plot" "$work/report.html" > /dev/null || fail "the report has no plot '$plot'"
done
grep -q 'class="lease lost"' "$work/report.html" || fail "the schedule does not show the leases of killed workers"
sed 's,</body>,,; s,</html>,,' "$work/report/report.html" > "$work/driven.html"
cat >> "$work/driven.html" << 'DRIVE'
<script>
const wrong = [];
function check(holds, what) { if (!holds) wrong.push(what); }
const table = document.getElementById("ranking"), rows = () => [...table.tBodies[0].rows];
const numbers = column => rows().map(row => Number(row.cells[column].dataset.value ?? row.cells[column].textContent));
const sorted = (list, sign) => list.every((value, i) => i === 0 || sign * (value - list[i - 1]) >= 0);
for (const part of document.querySelectorAll("details")) part.open = true;
const all = rows().length;
check(all > 100, "few rows");
for (const column of [3, 6, 7]) {
  const button = table.tHead.rows[0].cells[column].querySelector("button");
  button.click();
  check(sorted(numbers(column), 1), `column ${column} does not sort up`);
  button.click();
  check(sorted(numbers(column), -1), `column ${column} does not sort down`);
}
const field = document.querySelector("input.filter");
check(!field.hidden, "the field is hidden");
field.value = "layer2 conv1";
field.dispatchEvent(new Event("input"));
const shown = rows().filter(row => !row.hidden);
check(shown.length > 0 && shown.length < all, "the field filters nothing");
check(shown.every(row => row.textContent.includes("layer2")), "the field shows the wrong rows");
for (const svg of document.querySelectorAll("svg")) {
  const box = svg.getBoundingClientRect();
  check(box.width > 100 && box.height > 40, `a plot is ${box.width} × ${box.height}`);
}
check(document.documentElement.scrollWidth <= innerWidth, `the page is wider than the screen`);
document.title = wrong.length === 0 ? "all is well" : wrong.join("; ");
</script>
DRIVE
for size in 1200,900 390,900; do
    visit "driven-$size" "file://$work/driven.html" --window-size=$size
    grep -q '<title>all is well</title>' "$work/driven-$size.html" \
        || fail "the report at $size: $(grep -o '<title>[^<]*' "$work/driven-$size.html")"
done
echo "the live page and the report are well in $("$browser" --version)"
