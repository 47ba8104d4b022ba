# The manifests are valid, strictly, for the versions of Kubernetes in use; what is mounted and named exists; the options
# are the programs' own.
source "$(dirname "$0")/common.sh"
needs kubectl
validate=${KUBERNETES_VALIDATE:-kubernetes-validate}
needs "$validate"

cp -r deploy/kubernetes/. "$work/k8s"
"$WINNOW_BINARIES/winnow-coordinator" keygen --output "$work/k8s/keys" > /dev/null
# The command of README.md.
(cd "$work/k8s" && eval "$(sed -n 's/^ *\(for who in .*done\)$/\1/p' README.md)")
for who in coordinator worker; do
    [ "$(stat --format %a "$work/k8s/keys/$who.env")" = 600 ] || fail "README's command lets others read $who.env"
done
grep -q '^WINNOW_SECRET_KEY=.\{40\}$' "$work/k8s/keys/worker.env" || fail "README's command makes no key"

kubectl kustomize "$work/k8s" > "$work/all.yaml"
cat "$work/k8s/load-data.yaml" > "$work/load-data.yaml"
for version in 1.28 1.32; do
    "$validate" --strict --quiet -k "$version" "$work/all.yaml" "$work/load-data.yaml" \
        || fail "not valid for Kubernetes $version"
done

check_options winnow-worker serve <(grep -A 5 'command: \[winnow-worker' deploy/kubernetes/worker.yaml)
check_options winnow-coordinator run deploy/kubernetes/run.env
check_options winnow-coordinator resume <(grep '^WINNOW_OPTIONS' deploy/kubernetes/run.env)
