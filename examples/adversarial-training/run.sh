#!/usr/bin/env bash
# Does training on augmented rows make a classifier robust? `run.sh SST-2-FOLDER`; run again after an interruption, it goes on.
#
# all-MiniLM-L6-v2 fine-tuned on SST-2; on SST-2 and rows made by one augmenter; and, from the first, on such rows alone. Each is
# attacked by four recipes on dev sentences. The end is a table beside the paper's numbers, and a page. Needs
# `limbeck resources get wordnet minilm glove-50d` and counter-fitted vectors (see docs/attacks.md). From the environment:
#
#   ROWS           training rows of SST-2, drawn with seed 0          default 67349, all
#   SAMPLE         rows of these that are augmented, two new ones each    default 20000, as in the paper
#   DEEP_WORD_BUG, TEXT_FOOLER, BAE, PRUTHI
#                  dev sentences attacked by each, drawn at random    default 872, all
#   MLM_EPOCHS     passes over SST-2's text for BAE's language model   default 1
#   RUNS           where everything goes                              default runs/adversarial-training
#   LIMBECK        the program                                        default target/release/limbeck
#
# results/adversarial-training.md says which were used there.
set -euo pipefail
source=$(cd "${1:?usage: run.sh SST-2-FOLDER}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=examples/adversarial-training
rows=${ROWS:-67349}
sample=${SAMPLE:-20000}
runs=${RUNS:-runs/adversarial-training}
limbeck=${LIMBECK:-target/release/limbeck}
mini=.limbeck/models/all-MiniLM-L6-v2
dev=$source/dev.tsv
plain_rows=$runs/rows/plain.tsv
mkdir -p "$runs/rows"

once() { # FILE COMMAND..: writes FILE from what the command prints, whole or not at all
    local file=$1
    shift
    if [ ! -e "$file" ]; then
        "$@" >"$file.partial"
        mv "$file.partial" "$file"
    fi
}

train() { # NAME ROWS MODEL
    "$limbeck" finetune $here/finetune.toml --out "$runs/$1" --set "data.train.path=$2" --set "data.dev.path=$dev" --set "model.from=$3"
}

attack() { # MODEL RECIPE EXAMPLES [MORE..]
    local model=$1 recipe=$2 examples=$3
    shift 3
    "$limbeck" attack "$runs/$model" --data $here/finetune.toml --set "data.dev.path=$dev" --set "data.train.path=$plain_rows" --split dev \
        --limit "$examples" --shuffle --wir-scope all --recipe "$recipe" "$@" --out "$runs/attacks/$model/$recipe" >/dev/null
}

both() { # ROWS MORE-ROWS: as one file, with one header
    cat "$1"
    tail -n +2 "$2"
}

once "$plain_rows" python3 scripts/bench/sst2_subset.py "$source/train.tsv" /dev/stdout --rows "$rows"
models=(plain)
train plain "$plain_rows" $mini
for augmenter in embedding wordnet synonym-insertion; do
    new_rows=$runs/rows/$augmenter.tsv
    if [ ! -e "$new_rows" ]; then
        "$limbeck" augment "examples/augment/$augmenter.toml" --set "data.path=$plain_rows" --set "sample=$sample" --exclude-original \
            --no-provenance --out "$new_rows"
    fi
    once "$runs/rows/with-$augmenter.tsv" both "$plain_rows" "$new_rows"
    train "with-$augmenter" "$runs/rows/with-$augmenter.tsv" $mini
    train "only-$augmenter" "$new_rows" "$runs/plain"
    models+=("with-$augmenter" "only-$augmenter")
done
# The cheapest first: whoever stops here has whole columns of the table.
for model in "${models[@]}"; do attack "$model" deep-word-bug "${DEEP_WORD_BUG:-872}"; done
for model in "${models[@]}"; do attack "$model" text-fooler "${TEXT_FOOLER:-872}"; done
texts() { # FILE: as a list of sets of a run file
    printf '[{ set = { path = "%s", format = "glue", glue-task = "sst-2" } }]' "$1"
}
"$limbeck" pretrain mlm $here/masked-lm.toml --out "$runs/masked-lm" --set "train.epochs=${MLM_EPOCHS:-1.0}" \
    --set "data.train=$(texts "$source/train.tsv")" --set "data.dev=$(texts "$dev")"
for model in "${models[@]}"; do attack "$model" bae "${BAE:-872}" --masked-lm "$runs/masked-lm"; done
for model in "${models[@]}"; do attack "$model" pruthi "${PRUTHI:-872}"; done
"$limbeck" report "${models[@]/#/$runs/}" "${models[@]/#/$runs/attacks/}" --page "$runs/report.html"
python3 $here/table.py "$runs"
