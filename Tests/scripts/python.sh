# The Python of docs/python.md and README.md reads a real ranking, a real run file and a really pruned network, which in
# PyTorch has the loss that winnow-worker evaluate gives it.
source "$(dirname "$0")/common.sh"
needs python3

export PATH=$PWD/Tests/scripts/stand-ins:$PATH
project=$PWD
page=$PWD/docs/python.md
mkdir "$work/reader"
cd "$work/reader"
"$WINNOW_BINARIES/winnow-demo" images --output cifar-10-batches-bin --train 1000 --test 100 > /dev/null
cp "$project/demo/resnet.safetensors" resnet20.th
export PAGE_PORT=0 PAGE_HTTP_PORT=0 PAGE_ROOT=$work
{ echo 'set -e'; blocks sh "$page" | here; } > commands
bash commands > "$work/log" 2>&1 || fail "the commands of docs/python.md: $(tail -n 5 "$work/log")"

# The parts that need only Python come before the pruned network.
sed '/^## A pruned network/,$d' "$page" > "$work/first.md"
{
    blocks python "$work/first.md"
    cat << 'CHECK'
assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1)) and len(rows) > 100
assert [(row["layer"], int(row["filter"])) for row in rows[:10]] == least
assert all(float(a["importance"]) == b["importance"] for a, b in zip(rows, report["ranking"], strict=True))
assert all(row["ci_low"] < row["importance"] < row["ci_high"] for row in report["ranking"])
assert len(losses) == report["fit"]["masks"] == report["run"]["masks_evaluated"]
CHECK
} > "$work/ranking.py"
python3 "$work/ranking.py" > "$work/log" 2>&1 || fail "reading the ranking: $(cat "$work/log")"

python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' \
    || { echo "the ranking is read; no torch here for the pruned network"; exit 77; }
sed -n '/^## A pruned network/,$p' "$page" > "$work/second.md"
{
    blocks python "$work/second.md"
    cat << 'CHECK'
import json
with open("losses.json") as file:
    (expected,) = json.load(file)["results"]
assert abs(loss - expected["loss"]) < 1e-5 * expected["loss"], (loss, expected)
assert correct == expected["correct"], (correct, expected)
print("winnow-worker:", expected)
assert sum(p.numel() for p in model.parameters()) < 0.9 * 174_000
CHECK
} > "$work/network.py"
# Like a program in the project's folder.
export PYTHONPATH=.
python3 "$work/network.py" > "$work/said" 2> "$work/log" || fail "the pruned network: $(cat "$work/log")"

{ blocks python "$project/README.md"; echo 'assert len(rows) > 100 and not model.training'; } > "$work/readme.py"
python3 "$work/readme.py" > "$work/log" 2>&1 || fail "README.md: $(cat "$work/log")"
printf 'PyTorch: %s\n' "$(paste -sd' ' "$work/said")"
