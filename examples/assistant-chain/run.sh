#!/usr/bin/env bash
# Teacher, assistant, student, and the student that had no assistant: `run.sh SST-2-FOLDER TEACHER`.
# Run again after an interruption, it goes on.
set -euo pipefail
usage="usage: run.sh SST-2-FOLDER TEACHER"
source=$(cd "${1:?$usage}" && pwd)
teacher=${2:?$usage}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
limbeck=${LIMBECK:-target/release/limbeck}
runs=${RUNS:-runs/assistant-chain}
data=(--set "data.train.path=$source/train.tsv" --set "data.dev.path=$source/dev.tsv" "${@:3}")
here=examples/assistant-chain
"$limbeck" distill $here/assistant.toml --teacher "$teacher" --out "$runs/assistant" "${data[@]}"
"$limbeck" distill $here/student.toml --teacher "$runs/assistant" --out "$runs/student" "${data[@]}"
"$limbeck" distill $here/student.toml --teacher "$teacher" --out "$runs/without-assistant" "${data[@]}"
"$limbeck" report "$runs"/{assistant,student,without-assistant}
