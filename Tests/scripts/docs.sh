# The pages are true. The commands in the shell blocks of README.md, docs and deploy are run, page by page, each page in
# a fresh copy of the project, with the demonstration's network and images in the place of CIFAR-10's, few masks, and
# stand-ins (in stand-ins/) for other hosts and for what needs a cluster, a service manager or a container engine. The
# data formats shown are read and written. In all pages every option is one that a program has, every command, script
# and file named is there, and every link leads to a page and a heading. With arguments only these
# pages are followed.
source "$(dirname "$0")/common.sh"

mapfile -t pages < <(git ls-files --cached --others --exclude-standard '*.md')
[ ${#pages[@]} -gt 3 ] || fail "no pages found"

# --- What is named exists ---------------------------------------------------------------------------------------------

programs=(winnow-coordinator winnow-worker winnow-demo)
mkdir "$work/help"
for program in "${programs[@]}"; do "$WINNOW_BINARIES/$program" --help > "$work/help/$program"; done

# check_command PAGE PROGRAM LINE: the subcommand and every option of a command exist.
check_command() {
    local subcommand option help
    read -r subcommand _ <<< "$3"
    case $subcommand in help | [!a-z]* | "") return 0 ;; esac
    help=$work/help/$2.$subcommand
    [ -s "$help" ] || "$WINNOW_BINARIES/$2" "$subcommand" --help > "$help" 2>&1 \
        || { rm "$help"; fail "$1: $2 has no '$subcommand' ($3)"; }
    for option in $(grep -oE -- '(^| )--[a-z][a-z0-9-]*' <<< "$3" || true); do
        grep -qE -- "^ *$option( |$)" "$help" || fail "$1: $2 $subcommand has no $option ($3)"
    done
}

# Options of the programs and of our scripts, and others that the pages mention.
known_options() {
    local program subcommand script
    for program in "${programs[@]}"; do
        while read -r subcommand; do
            "$WINNOW_BINARIES/$program" "$subcommand" --help | grep -oE '^ *--[a-z][a-z0-9-]*'
        done < <(sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z]*\) .*/\1/p' "$work/help/$program")
        grep -oE '^ *--[a-z][a-z0-9-]*' "$work/help/$program" || true
    done
    for script in deploy/install deploy/install-dependencies deploy/get-cifar10 deploy/slurm/submit deploy/ssh/workers \
        quickstart test Tests/simulate Tests/Fuzz/run; do
        grep -oE -- '--[a-z][a-z0-9-]*' "$script" || true
    done
    grep -rhoE --include='*.py' -- '"--[a-z][a-z0-9-]*"' Benchmarks | tr -d '"'
    printf '%s\n' --scale --cpus --version --help
}
known_options | tr -d ' ' | sort -u > "$work/options"
[ "$(wc -l < "$work/options")" -gt 30 ] || fail "only $(wc -l < "$work/options") options found in the programs' help"

# check_default PAGE SUBCOMMAND OPTION VALUE: the option's default, as in the help.
check_default() {
    # One line for each option.
    "$WINNOW_BINARIES/winnow-coordinator" "$2" --help | sed 's/^ \{1,\}/ /' | tr '\n' '\f' | sed 's/\f --/\n --/g; s/\f//g' \
        | grep -F -- " $3 " | grep -qF "(default: $4)" || fail "$1 says that $2 $3 is $4 by default"
}

# heading PAGE ANCHOR: whether the page has the heading, named as GitHub does.
heading() {
    grep -E '^#+ ' "$1" | sed -E 's/^#+ //' | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g' | grep -qx -- "$2"
}

for page in "${pages[@]}"; do
    folder=$(dirname "$page")
    # Nobody would run a command in another kind of block.
    if awk '/^ *```/ { if (inside) { inside = 0 } else { inside = 1; other = !/```(sh|python)$/ }; next }
            inside && other' "$page" | grep -E '(^| )(winnow-(coordinator|worker|demo) [a-z]|deploy/[a-z]|\./[a-z])'; then
        fail "$page has a command outside of a block of the kind 'sh'"
    fi
    # Commands one per line: continued lines joined, comments removed; then those within a sentence.
    {
        blocks sh "$page" | sed -e ':join' -e '/\\$/{N;s/\\\n */ /;b join' -e '}' | sed 's/ #.*//; s/^#.*//'
        tr '\n' ' ' < "$page" | sed 's/```[a-z]* .*```//' | grep -oE '`[^`]+`' | tr -d '`' || true
    } > "$work/lines"
    while read -r line; do
        for program in "${programs[@]}"; do
            case $line in "$program "* | *" $program "*) check_command "$page" "$program" "${line#*"$program "}" ;; esac
        done
        for path in $(grep -oE '(^| )(\./)?(deploy|docs|Tests|Benchmarks|Sources|demo)/[A-Za-z0-9_.@/-]+' <<< "$line" || true); do
            [ -e "${path#./}" ] || [ -e "$folder/$path" ] || fail "$page names $path, which is not there ($line)"
        done
        case $line in
            --*)
                option=${line%%[ =]*}
                grep -qxF -- "$option" "$work/options" || fail "$page names $option, which no program has"
                ;;
        esac
    done < "$work/lines"
    while IFS='|' read -r _ option value _; do
        check_default "$page" ${option//\`/} "$(tr -d '` ' <<< "$value")"
    done < <(grep -E '^\| `(run|prune) --[a-z-]+` \| `[^`]+` \|$' "$page" || true)
    while read -r link; do
        case $link in http*:* | mailto:*) continue ;; esac
        file=${link%%#*}
        [ -z "$file" ] || [ -e "$folder/$file" ] || fail "$page links to $link, which is not there"
        case $link in
            *'#'*) heading "${file:+$folder/}${file:-$page}" "${link#*#}" || fail "$page links to no heading: $link" ;;
        esac
    done < <(grep -oE '\]\([^) ]+' "$page" | sed 's/^](//')
done

# --- What is shown works ----------------------------------------------------------------------------------------------

export PATH=$PWD/Tests/scripts/stand-ins:$PATH EDITOR=true
"$WINNOW_BINARIES/winnow-demo" images --output "$work/images" --train 1000 --test 100 > /dev/null
mkdir "$work/project" "$work/pages"
git ls-files --cached --others --exclude-standard -z | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done | xargs -0 cp --parents -t "$work/project"

finish() {
    local file
    for file in "$work"/pages/*/background/*.process "$work"/pages/*/hosts/*/.winnow/worker.pid; do
        if [ -r "$file" ]; then kill "$(cat "$file")" 2> /dev/null || true; fi
    done
    sleep 0.3
}

# follow PAGE: does what the page says, as a reader would, in order.
follow() {
    local here=$work/pages/${1//\//-} folder
    folder=$here/project
    mkdir -p "$here/home" "$here/background" "$here/root/etc/systemd/system" "$here/root/srv" "$here/root/usr/local"
    cp -r "$work/project" "$folder"
    for place in "$folder" "$here/home"; do
        ln -s "$work/images" "$place/cifar-10-batches-bin"
        for network in resnet20.th resnet56.th; do cp demo/resnet.safetensors "$place/$network"; done
    done
    git -C "$folder" init -q
    git -C "$folder" -c user.name=reader -c user.email=reader@localhost commit -q --allow-empty --message "As it was read"

    export PAGE_ROOT=$here/root PAGE_BACKGROUND=$here/background HOSTS_HOME=$here/hosts
    export PAGE_PORT=$((20000 + RANDOM % 10000)) PAGE_HTTP_PORT=$((30000 + RANDOM % 2000))
    {
        echo 'set -euo pipefail'
        # quickstart and test are run by .ci/run. A page stops its workers when its run is done. Installing does not build
        # here: the programs are there.
        blocks sh "$1" | here | sed -E \
            -e 's,^\./(quickstart|test)\b,& --help,' \
            -e 's,^deploy/ssh/workers stop,runs-end; &,' \
            -e "s,\"\\\$\(command -v (winnow-[a-z]+)\)\",'$WINNOW_BINARIES/\1'," \
            -e "s,^((PREFIX=[^ ]+ )?)deploy/install( |$),\1DESTDIR=$here/root deploy/install --binaries '$WINNOW_BINARIES' ,"
        echo runs-end
    } > "$here/commands"
    (cd "$folder" && HOME=$here/home bash -x "$here/commands") > "$here/log" 2>&1 \
        || fail "$1: $(tail -n 15 "$here/log" "$here"/background/*.log)"
    followed+=("$1")
}

# expect PAGE FILE…: files that following a page must create.
expect() {
    local page=$1 file
    shift
    case " ${followed[*]} " in *" $page "*) ;; *) return 0 ;; esac
    for file in "$@"; do
        [ -s "$work/pages/${page//\//-}/$file" ] || fail "$page was followed, but there is no $file"
    done
}

followed=()
[ $# -gt 0 ] || set -- README.md docs/*.md deploy/*/README.md
for page; do
    if [ -n "$(blocks sh "$page")" ]; then follow "$page"; fi
done
expect README.md project/report/{ranking.csv,ranking.json,report.html} project/report56/report.html \
    project/pruned.safetensors project/compressed/{compressed.safetensors,report.html,curve.csv}
expect docs/operations.md project/report/report.html
expect deploy/ssh/README.md project/report/report.html hosts/node1/.winnow/worker.log
expect deploy/systemd/README.md root/var/lib/winnow/report/report.html root/usr/local/bin/winnow-worker
expect deploy/slurm/README.md home/winnow-run/keys/worker.key home/winnow-run/workers
expect deploy/kubernetes/README.md project/deploy/kubernetes/report
grep -q '^\./quickstart' .ci/run && grep -q '^\./test' .ci/run || fail ".ci/run does not run ./quickstart and ./test"

printf '%s pages checked; the commands of these were run: %s\n' "${#pages[@]}" "${followed[*]}"
case " ${followed[*]} " in *" README.md "*) ;; *) exit 0 ;; esac

# --- The formats are as docs/file-formats.md shows them ---------------------------------------------------------------

formats=docs/file-formats.md
blocks json $formats | head -n 1 > "$work/masks.json"
"$WINNOW_BINARIES/winnow-worker" evaluate --model demo/resnet.safetensors --data "$work/images" --images 10 \
    --masks "$work/masks.json" --output "$work/losses.json" || fail "$formats: the masks shown are not read"
# keys FILE: the names in a JSON text, in their order of first appearance, sorted.
keys() { grep -oE '"[a-z_]+" ?:' "$1" | tr -d '": ' | sort -u; }
# The second block is masks with lists of images.
blocks json $formats | sed -n 3p > "$work/shown.json"
[ "$(keys "$work/shown.json")" = "$(keys "$work/losses.json")" ] || fail "$formats: losses look different now"

report=$work/pages/README.md/project/report
columns=$(sed -n '/^| `rank` /,/^$/p' $formats | grep -oE '^\| [^|]+' | grep -oE '`[a-z0-9_]+`' | tr -d '`' | paste -sd,)
[ "$columns" = "$(head -n 1 "$report/ranking.csv")" ] || fail "$formats says ranking.csv has the columns $columns"

run=$work/pages/README.md/project/resnet20.winnow
if command -v sqlite3 > /dev/null; then
    blocks sql $formats > "$work/query"
    [ "$(sqlite3 -readonly "$run" < "$work/query" | wc -l)" = 24 ] || fail "$formats: the query does not give the losses"
    for table in $(sqlite3 -readonly "$run" "select name from sqlite_master where type = 'table'"); do
        grep -q "^| \`$table\`" $formats || fail "$formats does not tell of the run file's table $table"
        for column in $(sqlite3 -readonly "$run" "select name from pragma_table_info('$table')"); do
            grep "^| \`$table\`" $formats | grep -q "\`$column\`" || fail "$formats does not tell of $table.$column"
        done
    done
fi
