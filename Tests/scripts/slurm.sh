# A real Slurm on this machine runs the coordinator and an array of workers. One worker is cancelled half-way, one is
# sent away by its time limit, the coordinator is interrupted as by its time limit, requeued and goes on; the run ends
# with every mask recorded once, a report, and an empty queue.
source "$(dirname "$0")/common.sh"
needs slurmctld slurmd sbatch scancel squeue sqlite3
[ -n "$(ls /usr/lib/*/slurm-wlm/auth_none.so 2> /dev/null)" ] || { echo "Slurm without auth/none"; exit 77; }

host=$(hostname -s)
port=$((20000 + RANDOM % 20000))
mkdir "$work/state" "$work/spool"
cat > "$work/slurm.conf" << END
ClusterName=winnow
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/none
CredType=cred/none
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2
SlurmdParameters=config_overrides
KillWait=2
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 RealMemory=16000
PartitionName=all Nodes=$host Default=YES State=UP MaxTime=INFINITE
END
export SLURM_CONF=$work/slurm.conf PATH=$WINNOW_BINARIES:$PATH

# Processes with open files in the work folder: Slurm's daemons, which leave their parents, and their children.
holders() { find /proc/[0-9]*/fd -lname "$work/*" 2> /dev/null | cut -d / -f 3 | sort -un; }
nobody_holds() { [ -z "$(holders)" ]; }
queue_is_empty() { [ -z "$(squeue --noheader)" ]; }
# within TENTHS COMMAND…: waits for the command to succeed, and continues in any case.
within() { for _ in $(seq "$1"); do "${@:2}" && return 0; sleep 0.1; done; }

finish() {
    status=$?
    if [ $status != 0 ]; then tail -n 25 "$work"/run/*.log "$work"/slurm*.log || true; squeue --array; scontrol show jobs; fi
    # Jobs first: a stopping slurmd waits for those that are ending, and nobody else ends them. A job that is still
    # ending is in the queue.
    scancel --quiet --user "$(id -un)" 2> /dev/null || true
    within 50 queue_is_empty 2> /dev/null
    kill "$slurmd" "$slurmctld" 2> /dev/null || true
    within 20 nobody_holds
    holders | xargs --no-run-if-empty kill -KILL 2> /dev/null || true
    within 20 nobody_holds
    wait "$slurmd" "$slurmctld" 2> /dev/null || true
}
# In their own sessions, so a signal for this script's group leaves them to 'finish'.
setsid slurmctld -D > "$work/slurmctld.out" 2>&1 &
slurmctld=$!
setsid slurmd -D > "$work/slurmd.out" 2>&1 &
slurmd=$!
node_is_idle() { sinfo --noheader --format %T | grep -q idle; }
until_true 30 node_is_idle

winnow-demo images --output "$work/images" --train 2000 --test 10
cat > "$work/my.conf" << END
WINNOW_FOLDER=$work/run
WINNOW_RUN_OPTIONS="--model $PWD/demo/resnet.safetensors --data $work/images --masks 1500 --images 400"
WINNOW_WORKER_OPTIONS=""
WORKERS=3
COORDINATOR_SBATCH="--cpus-per-task=1 --mem=1G"
WORKER_SBATCH="--cpus-per-task=1 --mem=1G"
END

deploy/slurm/submit "$work/my.conf" > "$work/said"
coordinator=$(sed -n 's/^coordinator: job \([0-9]*\),.*/\1/p' "$work/said")
array=$(sed -n 's/^workers: array \([0-9]*\) .*/\1/p' "$work/said")
if [ -z "$coordinator" ] || [ -z "$array" ]; then fail "submit said: $(cat "$work/said")"; fi

recorded() { sqlite3 -readonly "$work/run/winnow.run" "select count(*) from evaluation" 2> /dev/null || echo 0; }
at_least() { [ "$(recorded)" -ge "$1" ]; }
running() { squeue --noheader --array --jobs "$array" --states R 2> /dev/null | wc -l; }

until_true 120 at_least 60
all_serve() { [ "$(grep -l ": ready" "$work/run/worker.$array."*.log | wc -l)" = 3 ]; }
until_true 60 all_serve
[ "$(running)" = 3 ] || fail "not three workers: $(squeue --array)"

# A second submission touches nothing.
before_second=$(cat "$work/run/address" "$work/run/workers" "$work/run/coordinator")
status=0
deploy/slurm/submit "$work/my.conf" > "$work/said" 2>&1 || status=$?
[ $status = 69 ] || fail "a second submission ended with status $status: $(cat "$work/said")"
grep -q "job $coordinator has the run" "$work/said" || fail "submit does not say who has the run: $(cat "$work/said")"
# Not even one that bypasses 'submit'.
scripts=$PWD/deploy/slurm
stray=$(cd "$work/run" && WINNOW_FOLDER=$work/run WINNOW_SCRIPTS=$scripts WINNOW_RUN_OPTIONS=--none \
    sbatch --parsable --cpus-per-task=1 --mem=1G "$scripts/coordinator.sbatch")
stray_ended() { [ -z "$(squeue --noheader --jobs "$stray" 2> /dev/null)" ]; }
until_true 60 stray_ended
grep -q "leaves it alone" "$work/run/coordinator.$stray.log" || fail "a stray job: $(cat "$work/run/coordinator.$stray.log")"
[ "$(cat "$work/run/address" "$work/run/workers" "$work/run/coordinator")" = "$before_second" ] \
    || fail "another submission changed the run's files"

# Cancelled in the middle of its work.
scancel "${array}_1"
# Like its time limit: SIGTERM to the batch script.
scancel --signal=TERM --batch "${array}_2"
only_one() { [ "$(running)" -le 1 ]; }
until_true 30 only_one
left=$(tail -n 3 "$work/run/worker.${array}.2.log")
grep -q "stopping" <<< "$left" || fail "the worker did not leave in good order: $left"

deploy/slurm/submit --more 1 "$work/my.conf" > /dev/null

# The coordinator's time is up.
before=$(recorded)
scancel --signal=TERM --batch "$coordinator"
requeued() { grep -q "requeued to resume" "$work/run/coordinator.$coordinator.log"; }
until_true 30 requeued
# Slurm holds a requeued job back for two minutes, since a node refuses a start in the same second as the job's end;
# three seconds are enough. Constant polling would keep the scheduler from its work.
waits() { [ "$(squeue --noheader --jobs "$coordinator" --format %T)" = PENDING ]; }
until_true 30 waits
sleep 3
back_at_work() { [ -s "$work/run/address" ] || { scontrol update jobid="$coordinator" starttime=now; sleep 3; false; }; }
until_true 90 back_at_work
until_true 300 at_least 1500
done_and_gone() { [ -s "$work/run/report/ranking.csv" ] && queue_is_empty; }
until_true 60 done_and_gone

# A finished run accepts no more workers, and none waits for it.
status=0
deploy/slurm/submit --more 1 "$work/my.conf" > "$work/said" 2>&1 || status=$?
[ $status = 69 ] || fail "--more after the run ended with status $status: $(cat "$work/said")"
queue_is_empty || fail "jobs are left: $(squeue --array)"

[ "$(recorded)" = 1500 ] || fail "$(recorded) evaluations instead of 1500"
[ "$before" -lt 1500 ] || fail "the run was over before the coordinator was interrupted: make it longer"
printf '%s masks recorded before the interruption, %s at the end\n' "$before" "$(recorded)"
