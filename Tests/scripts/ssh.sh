# deploy/ssh/workers starts, lists and stops a worker on every host, through a stand-in for ssh that gives each "host" a
# home folder of its own, and names the host that cannot be reached.
source "$(dirname "$0")/common.sh"
needs tar

mkdir "$work/bin"
cat > "$work/bin/ssh" << 'END'
#!/usr/bin/env bash
# ssh -o X -o Y HOST COMMAND, here.
while [ "$1" = -o ]; do shift 2; done
[ "$1" != unreachable ] || { echo "ssh: connect to host unreachable port 22: No route to host" >&2; exit 255; }
mkdir -p "$HOSTS_HOME/$1"
HOME=$HOSTS_HOME/$1 exec sh -c "$2"
END
chmod +x "$work/bin/ssh"
export HOSTS_HOME=$work/homes PATH=$work/bin:$PATH

finish() {
    local id
    for id in "$HOSTS_HOME"/*/.winnow/worker.pid; do
        if [ -r "$id" ]; then kill -9 "$(cat "$id")" 2> /dev/null || true; fi
    done
}

printf '# two hosts\nuser@one\n\ntwo # the second\n' > "$work/hosts"
workers=deploy/ssh/workers

$workers copy "$work/hosts" "$WINNOW_BINARIES/winnow-worker" > "$work/out"
[ "$(sort "$work/out")" = $'two: copied\nuser@one: copied' ] || fail "copy said: $(cat "$work/out")"
[ -x "$HOSTS_HOME/two/.winnow/winnow-worker" ] || fail "not copied"

# Nobody listens there: a worker waits for its coordinator.
$workers start "$work/hosts" tcp://127.0.0.1:9 --threads 1 > "$work/out" || fail "start said: $(cat "$work/out")"
[ "$(sort "$work/out")" = $'two: started\nuser@one: started' ] || fail "start said: $(cat "$work/out")"
id=$(cat "$HOSTS_HOME/two/.winnow/worker.pid")
tr '\0' ' ' < "/proc/$id/cmdline" | grep -q -- "serve --connect tcp://127.0.0.1:9 --threads 1" || fail "wrong command"

$workers start "$work/hosts" tcp://127.0.0.1:9 | grep -c "already running" | grep -qx 2 || fail "started twice"
$workers status "$work/hosts" | grep -c ": running" | grep -qx 2 || fail "status misses a worker"

status=0
printf 'two\nunreachable\n' > "$work/some"
$workers stop "$work/some" > "$work/out" || status=$?
[ $status = 69 ] || fail "an unreachable host, and status $status"
grep -q "two: stopped" "$work/out" || fail "one bad host kept the other from its order"
grep -q "unreachable: FAILED: .*No route" "$work/out" || fail "the bad host is not named"
if grep -aq winnow-worker "/proc/$id/cmdline" 2> /dev/null; then fail "the worker still runs"; fi

$workers stop "$work/hosts" > /dev/null
$workers status "$work/hosts" | grep -c "stopped" | grep -qx 2 || fail "not all stopped"
