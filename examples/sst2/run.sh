#!/usr/bin/env bash
# Three seeds of a teacher, two students and their controls on 20,000 rows of SST-2: `run.sh SST-2-FOLDER`.
# Fetch the model first with `scripts/fetch.sh`. Run again after an interruption, it goes on.
set -euo pipefail
source=$(cd "${1:?usage: run.sh SST-2-FOLDER}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
limbeck=${LIMBECK:-target/release/limbeck}
mkdir -p runs/sst2
[ -e runs/sst2/train.tsv ] || python3 scripts/bench/sst2_subset.py "$source/train.tsv" runs/sst2/train.tsv
data=(--set "data.train.path=runs/sst2/train.tsv" --set "data.dev.path=$source/dev.tsv")
"$limbeck" finetune examples/sst2/teacher.toml --out runs/sst2/teacher --seeds 1,2,3 "${data[@]}"
for student in 3-layers bi-lstm; do
    "$limbeck" distill "examples/sst2/student-$student.toml" --out "runs/sst2/student-$student" --seeds 1,2,3 "${data[@]}"
    "$limbeck" finetune "examples/sst2/control-$student.toml" --out "runs/sst2/control-$student" --seeds 1,2,3 "${data[@]}"
done
"$limbeck" report runs/sst2/*/seed-*
