# deploy/get-cifar10 downloads, checks, unpacks and resumes; tried with a stand-in archive and file:// addresses.
source "$(dirname "$0")/common.sh"
needs curl tar md5sum

mkdir -p "$work/official/cifar-10-batches-bin"
for batch in data_batch_{1,2,3,4,5} test_batch; do
    truncate -s 30730000 "$work/official/cifar-10-batches-bin/$batch.bin"
done
tar -czf "$work/archive.tar.gz" -C "$work/official" cifar-10-batches-bin
export WINNOW_CIFAR10_URL=file://$work/archive.tar.gz
WINNOW_CIFAR10_MD5=$(md5sum < "$work/archive.tar.gz" | cut -d' ' -f1)
export WINNOW_CIFAR10_MD5

# fails_with STATUS TEXT COMMAND…
fails_with() {
    local expected=$1 text=$2 status=0
    shift 2
    "$@" > "$work/output" 2>&1 || status=$?
    [ "$status" = "$expected" ] || fail "exit status $status, not $expected: $* ($(cat "$work/output"))"
    grep -q -- "$text" "$work/output" || fail "no '$text' in: $(cat "$work/output")"
}

deploy/get-cifar10 "$work/data" > "$work/output" 2>&1 || fail "$(cat "$work/output")"
cmp "$work/data/cifar-10-batches-bin/test_batch.bin" "$work/official/cifar-10-batches-bin/test_batch.bin"
[ ! -e "$work/data/cifar-10-binary.tar.gz" ] || fail "the archive is left behind"

# The second time nothing is downloaded.
WINNOW_CIFAR10_URL=file:///nowhere deploy/get-cifar10 "$work/data" | grep -q "already" || fail "fetched twice"

# An interrupted download resumes; an incomplete folder is completed.
mkdir "$work/resumed"
head -c 1000 "$work/archive.tar.gz" > "$work/resumed/cifar-10-binary.tar.gz.part"
mkdir "$work/resumed/cifar-10-batches-bin"
touch "$work/resumed/cifar-10-batches-bin/test_batch.bin"
deploy/get-cifar10 "$work/resumed" > "$work/output" 2>&1 || fail "$(cat "$work/output")"
[ -s "$work/resumed/cifar-10-batches-bin/test_batch.bin" ] || fail "not made whole"

fails_with 69 "run the command again to resume it" env WINNOW_CIFAR10_URL="file://$work/none.tar.gz" deploy/get-cifar10 "$work/a"
fails_with 65 "is not the official archive" env WINNOW_CIFAR10_MD5=0 deploy/get-cifar10 "$work/b"
[ -z "$(ls "$work/b")" ] || fail "a wrong archive is left behind"
tar -czf "$work/archive.tar.gz" -C "$work/official" cifar-10-batches-bin/test_batch.bin
WINNOW_CIFAR10_MD5=$(md5sum < "$work/archive.tar.gz" | cut -d' ' -f1)
fails_with 65 "holds no six batches" deploy/get-cifar10 "$work/c"
fails_with 64 "no option" deploy/get-cifar10 --fast
fails_with 64 "one folder at most" deploy/get-cifar10 a b
