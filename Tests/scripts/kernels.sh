# The kernels of every instruction set give the same bits, those for Arm under emulation.
source "$(dirname "$0")/common.sh"

needs clang
kernels=Sources/CKernels
flags=(-O3 -ffp-contract=off -I "$kernels/include" -I "$kernels")
clang "${flags[@]}" "$kernels"/*.c Tests/Kernels/digests.c -lm -o "$work/digests"
"$work/digests" plain > "$work/plain"
[ "$(wc -l < "$work/plain")" -ge 23 ] || fail "too few digests"
compared=0
for set in avx512 avx2 neon; do
    status=0
    "$work/digests" $set > "$work/$set" || status=$?
    if [ $status = 77 ]; then continue; fi
    [ $status = 0 ] || fail "the digests of $set end with status $status"
    diff "$work/plain" "$work/$set" || fail "$set gives other bits than plain"
    compared=$((compared + 1))
done
[ $compared -gt 0 ] || { echo "no vector instructions here"; exit 77; }
if "$work/digests" neon > "$work/neon"; then exit 0; fi

# On x86-64 the Arm kernels are compiled with Debian's libraries for arm64 and run by qemu.
needs qemu-aarch64 aarch64-linux-gnu-gcc
[ -d /usr/aarch64-linux-gnu/include ] || { echo "no libc6-dev-arm64-cross here"; exit 77; }
for source in "$kernels"/*.c Tests/Kernels/digests.c; do
    clang --target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include "${flags[@]}" -c "$source" \
        -o "$work/$(basename "$source" .c).o"
done
aarch64-linux-gnu-gcc -static "$work"/*.o -lm -o "$work/digests-arm64"
qemu-aarch64 "$work/digests-arm64" neon > "$work/neon" || fail "the Arm kernels do not run"
diff "$work/plain" "$work/neon" || fail "neon gives other bits than plain"
