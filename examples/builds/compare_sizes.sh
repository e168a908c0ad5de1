#!/bin/sh
# Build two revisions of a checkout and say in Markdown what changed in size.
# usage: compare_sizes.sh BASE HEAD BUILD-COMMAND [FOLDER-OR-FILE]
set -eu
if [ $# -lt 3 ]; then
    echo "usage: compare_sizes.sh BASE HEAD BUILD-COMMAND [FOLDER-OR-FILE]" >&2
    exit 2
fi
work=$(mktemp -d)
clean() {
    for side in base head; do
        git worktree remove --force "$work/$side" >/dev/null 2>&1 || true
    done
    rm -rf "$work"
}
trap clean EXIT
built=${4:-.}
for side in base head; do
    if [ "$side" = base ]; then revision=$1; else revision=$2; fi
    git worktree add --detach "$work/$side" "$revision" >/dev/null 2>&1
    (cd "$work/$side" && sh -c "$3") >"$work/$side.log" 2>&1 || {
        echo "$revision does not build:" >&2
        tail -20 "$work/$side.log" >&2
        exit 1
    }
done
${LLM_COMPILER:-llm-compiler} report "$work/head/$built" --against "$work/base/$built" --markdown
