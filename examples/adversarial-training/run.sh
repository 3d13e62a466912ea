#!/usr/bin/env bash
# Does training on augmented rows make a classifier robust? `run.sh SST-2-FOLDER [EXAMPLES]`.
#
# all-MiniLM-L6-v2 fine-tuned on SST-2; on SST-2 and rows made by one augmenter; and, from the first, on such rows alone. Each is
# attacked by four recipes on the dev sentences (all 872, or EXAMPLES of them). Needs `limbeck resources get wordnet glove-50d`,
# counter-fitted vectors and a masked language model (see docs/attacks.md). Run again after an interruption, it goes on.
set -euo pipefail
source=$(cd "${1:?usage: run.sh SST-2-FOLDER [EXAMPLES]}" && pwd)
examples=${2:-872}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
limbeck=${LIMBECK:-target/release/limbeck}
runs=runs/adversarial-training
settings=examples/adversarial-training/finetune.toml
mkdir -p $runs/rows

train() { # NAME ROWS MODEL
    "$limbeck" finetune $settings --out "$runs/$1" --set "data.train.path=$2" --set "data.dev.path=$source/dev.tsv" --set "model.from=$3"
}

models=(plain)
train plain "$source/train.tsv" .limbeck/models/all-MiniLM-L6-v2
for augmenter in embedding wordnet synonym-insertion; do
    rows=$runs/rows/$augmenter.tsv
    both=$runs/rows/with-$augmenter.tsv
    "$limbeck" augment "examples/augment/$augmenter.toml" --set "data.path=$source/train.tsv" --exclude-original --no-provenance --out "$rows"
    if [ ! -e "$both" ]; then
        { cat "$source/train.tsv"; tail -n +2 "$rows"; } >"$both.partial"
        mv "$both.partial" "$both"
    fi
    train "with-$augmenter" "$both" .limbeck/models/all-MiniLM-L6-v2
    train "only-$augmenter" "$rows" $runs/plain
    models+=("with-$augmenter" "only-$augmenter")
done
for model in "${models[@]}"; do
    "$limbeck" attack "$runs/$model" --data $settings --set "data.dev.path=$source/dev.tsv" --set "data.train.path=$source/train.tsv" \
        --split dev --limit "$examples" --shuffle --wir-scope all --recipe text-fooler,bae,deep-word-bug,pruthi --out "$runs/attacks/$model" >/dev/null
done
"$limbeck" report "${models[@]/#/$runs/}" "${models[@]/#/$runs/attacks/}" --page $runs/report.html
