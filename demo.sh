#!/usr/bin/env bash
# Builds limbeck and shows it on real data: a fine-tuned teacher, two students distilled from it, and the same two
# without a teacher. Ctrl-C stops it; run again, it goes on where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

examples=examples/movie-reviews
runs=runs/movie-reviews

need() {
    if ! command -v "$1" >/dev/null; then
        echo "demo: $1 is missing; $2" >&2
        exit 1
    fi
}

title() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}

goodbye() {
    local code=$?
    if [ "$code" -eq 130 ]; then
        printf '\ndemo: stopped; run ./demo.sh again to go on\n' >&2
    elif [ "$code" -ne 0 ]; then
        printf '\ndemo: failed with exit code %s; see the message above. ./demo.sh goes on from here\n' "$code" >&2
    fi
}
trap goodbye EXIT

need cargo "install Rust from https://rustup.rs"
need cc "install a C compiler (Debian: apt install build-essential)"
need python3 "install Python 3.8 or newer with pip"

title "Build"
cargo build --release --locked --package limbeck
limbeck=${CARGO_TARGET_DIR:-target}/release/limbeck

title "Fetch the model and the texts"
scripts/fetch.sh .limbeck

title "1/5  Teacher: all-MiniLM-L6-v2, fine-tuned"
"$limbeck" finetune $examples/teacher.toml --out $runs/teacher

title "2/5  Student: 3 of the teacher's layers"
"$limbeck" distill $examples/student-3-layers.toml --out $runs/student-3-layers

title "3/5  Student: BiLSTM"
"$limbeck" distill $examples/student-bi-lstm.toml --out $runs/student-bi-lstm

title "4/5  Control: 3 layers without the teacher"
"$limbeck" finetune $examples/control-3-layers.toml --out $runs/control-3-layers

title "5/5  Control: BiLSTM without the teacher"
"$limbeck" finetune $examples/control-bi-lstm.toml --out $runs/control-bi-lstm

title "Compare"
"$limbeck" report $runs/teacher $runs/student-3-layers $runs/control-3-layers $runs/student-bi-lstm $runs/control-bi-lstm \
    --page $runs/report.html
echo "with training curves: $runs/report.html"
