#!/usr/bin/env bash
# Builds limbeck and shows it on real data: a fine-tuned teacher, two students distilled from it, the same two without a
# teacher, and how all five stand up to attacks. Ctrl-C stops it; run again, it goes on where it stopped.
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

title "Fetch the model, the texts and the words"
scripts/fetch.sh .limbeck
"$limbeck" resources get wordnet glove-50d

title "1/7  Teacher: all-MiniLM-L6-v2, fine-tuned"
"$limbeck" finetune $examples/teacher.toml --out $runs/teacher

title "2/7  Student: 3 of the teacher's layers"
"$limbeck" distill $examples/student-3-layers.toml --out $runs/student-3-layers

title "3/7  Student: BiLSTM"
"$limbeck" distill $examples/student-bi-lstm.toml --out $runs/student-bi-lstm

title "4/7  Control: 3 layers without the teacher"
"$limbeck" finetune $examples/control-3-layers.toml --out $runs/control-3-layers

title "5/7  Control: BiLSTM without the teacher"
"$limbeck" finetune $examples/control-bi-lstm.toml --out $runs/control-bi-lstm

title "6/7  What attacks need: synonym vectors, and a masked language model"
vectors=.limbeck/vectors
if [ ! -e $vectors/counter-fitted/neighbours.lbn ]; then
    "$limbeck" vectors counter-fit --vectors $vectors/glove-50d/glove_6B_50d_emb.npy \
        --word-list $vectors/glove-50d/glove_6B_index.parquet --wordnet .limbeck/lexicon/wordnet --words 100000 \
        --out $vectors/counter-fitted
fi
"$limbeck" pretrain mlm $examples/masked-lm.toml --out .limbeck/models/masked-lm

# Pruthi asks the model hundreds of questions about a sentence, hence fewer of them.
title "7/7  Attack each model on 50 of the test sentences, with Pruthi's attack on 20"
models=(teacher student-3-layers control-3-layers student-bi-lstm control-bi-lstm)
attack() { # MODEL SENTENCES RECIPES FOLDER
    "$limbeck" attack $runs/$1 --data $examples/teacher.toml --split test --limit "$2" --shuffle --recipe "$3" --out "$4" >/dev/null
}
for model in "${models[@]}"; do
    attack $model 50 text-fooler,bae,deep-word-bug $runs/attacks/$model
    attack $model 20 pruthi $runs/attacks/$model/pruthi
done

title "Compare"
"$limbeck" report "${models[@]/#/$runs/}" "${models[@]/#/$runs/attacks/}" --page $runs/report.html
echo "with training curves: $runs/report.html"
echo "with every attacked sentence: $runs/attacks/"
