# Every shell script is free of what shellcheck knows to be wrong, explains itself, and knows a wrong option.
source "$(dirname "$0")/common.sh"

scripts=(test deploy/install deploy/install-dependencies)
if [ -e quickstart ]; then scripts+=(quickstart); fi
for script in "${scripts[@]}"; do
    help=$("./$script" --help)
    [ "$(wc -l <<< "$help")" -ge 3 ] || fail "$script --help says too little"
    if grep -q "^set\|^$script()" <<< "$help"; then fail "$script --help prints code"; fi
    status=0
    "./$script" --no-such-option > /dev/null 2> "$work/error" || status=$?
    [ "$status" = 64 ] || fail "$script: status $status for a wrong option"
    grep -q -- "--no-such-option" "$work/error" || fail "$script does not name the wrong option"
done

# Every C library of the package is in the list of packages.
deploy/install-dependencies --list > "$work/packages"
sed -n 's/^ *debian(".*package: "\(.*\)").*/\1/p' Package.swift > "$work/wanted"
[ -s "$work/wanted" ] || fail "no C library found in Package.swift"
while read -r package; do
    grep -qx "$package" "$work/packages" || fail "deploy/install-dependencies does not install $package"
done < "$work/wanted"

needs shellcheck
mapfile -t all < <(git ls-files | while read -r file; do
    if head -c 64 "$file" | head -n 1 | grep -aq '^#!.*\(bash\|/sh\)'; then printf '%s\n' "$file"; fi
done)
shellcheck --severity warning --external-sources "${all[@]}"
shellcheck --severity warning --external-sources --source-path SCRIPTDIR --shell bash Tests/scripts/*.sh
