#!/bin/bash
# Make the data of configs/train/short.toml out of a built corpus, and train (docs/training.md). Killed at any moment,
# the same command goes on: finished data stays, and the run goes on from its last checkpoint.
#
#   nice -n 5 scripts/train_short.sh                      # until its steps are done: days on one core
#   MINUTES=60 nice -n 5 scripts/train_short.sh           # so long, then stop with a checkpoint; the next call goes on
#   PAIRS=4000 DRAFTS=1200 EMULATION=500 PRETRAINING=400 scripts/train_short.sh     # of a corpus that is not whole yet
#
# LLM_COMPILER is the command (default: llm-compiler), JOBS its worker processes, CORPUS the corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra llm_compiler <<<"${LLM_COMPILER:-llm-compiler}"
jobs=(--jobs "${JOBS:-1}")
corpus=${CORPUS:-work/corpus}
work=work/short

source scripts/unless.sh

data() { # data NAME COMMAND...: stage data in $work/data/NAME.
    unless "$work/data/$1/manifest.json" dataset "${@:2}" --out "$work/data/$1" "${jobs[@]}"
}

unless work/samples/manifest.json corpus sample "$corpus" --out work/samples --max-package-functions 6000 "${jobs[@]}"

short=(--kind function --max-characters 6000)
emulated=(--kind function --max-characters 4000 --assembly-share 0)
pairs=${PAIRS:-170000}
data pairs-validation build disassembly work/samples "${short[@]}" --split validation --seed 1 --num-samples 900
data emulation-validation build emulation work/samples "${emulated[@]}" --split validation --seed 33 --num-samples 150
data drafts-validation drafts "$work/data/pairs-validation" --num-samples 190
data pairs build disassembly work/samples "${short[@]}" --seed 11 --num-samples "$pairs"
data drafts drafts "$work/data/pairs" --num-samples "${DRAFTS:-$((pairs / 192 * 64))}" --max-variants 3 --functions-each 3
data emulation build emulation work/samples "${emulated[@]}" --seed 21 --num-samples "${EMULATION:-60000}"
data pretraining build pretraining work/samples --max-characters 12000 --seed 31 --num-samples "${PRETRAINING:-20000}"

tokenizer=$work/tokenizer
unless "$tokenizer/tokenizer.json" tokenizer train "$work"/data/{pairs,drafts,emulation,pretraining} \
    --out "$tokenizer" --vocab-size 4096 --max-characters 30000000
unless "$work/init/training.json" model transfer src/llm_compiler/data/model --tokenizer "$tokenizer" -o "$work/init"

for name in pairs drafts emulation pretraining pairs-validation drafts-validation emulation-validation; do
    unless "$work/tokens/$name/manifest.json" tokenizer pack "$work/data/$name" --tokenizer "$tokenizer" \
        --out "$work/tokens/$name" "${jobs[@]}"
done
for kind in "" -validation; do
    unless "$work/tokens/labels$kind/manifest.json" labels pack "data/labels$kind-x86_64.parquet" "data/labels$kind-aarch64.parquet" \
        --samples work/samples --tokenizer "$tokenizer" -o "$work/tokens/labels$kind" --max-prompt-tokens 1024
done

# Not --max-minutes, which lets the rate fall so that a run ends for good: this one is to go on.
run=("${llm_compiler[@]}" train disassembly --config configs/train/short.toml --resume)
if [ -n "${MINUTES:-}" ]; then
    timeout --signal=INT --kill-after=60 "${MINUTES}m" "${run[@]}" || [ $? = 124 ]
else
    "${run[@]}"
fi
