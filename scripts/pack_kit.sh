#!/bin/bash
# Make everything that `kit pack` needs out of a built corpus, and pack it (docs/gpu-kit.md). Killed, the same command
# goes on; what is there is skipped, so it may run in the background wherever parts are missing.
#
#   llm-compiler corpus build --config configs/corpus/debian.toml --out work/corpus      # first, some hours
#   nice scripts/pack_kit.sh                                                             # some hours on one core
#   PAIRS=2000 EMULATION=1000 PRETRAINING=500 scripts/pack_kit.sh                        # less of it, sooner
#
# LLM_COMPILER is the command (default: llm-compiler), JOBS its worker processes, CORPUS the corpus, CONFIG the run,
# PACK more options of `kit pack` (such as "--beside .").
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra llm_compiler <<<"${LLM_COMPILER:-llm-compiler}"
read -ra pack <<<"${PACK:-}"
jobs=(--jobs "${JOBS:-1}")
corpus=${CORPUS:-work/corpus}
tokenizer=src/llm_compiler/data/model

source scripts/unless.sh

tokens() { # tokens NAME STAGE SAMPLES OPTION...: work/tokens/NAME. The stage data goes when its tokens are there.
    local name=$1 stage=$2 samples=$3
    shift 3
    if [ ! -e "work/tokens/$name/manifest.json" ]; then
        unless "work/data/$name/manifest.json" dataset build "$stage" "$samples" --out "work/data/$name" "${jobs[@]}" "$@"
        unless "work/tokens/$name/manifest.json" \
            tokenizer pack "work/data/$name" --tokenizer "$tokenizer" --out "work/tokens/$name" "${jobs[@]}"
        rm -r "work/data/$name"
    fi
}

labels() { # labels NAME TABLE...: work/tokens/NAME.
    local name=$1
    shift
    unless "work/tokens/$name/manifest.json" \
        labels pack "$@" --samples work/samples --tokenizer "$tokenizer" -o "work/tokens/$name" --max-prompt-tokens 1024
}

unless work/samples/manifest.json corpus sample "$corpus" --out work/samples --max-package-functions 6000 "${jobs[@]}"
unless work/texts/manifest.json dataset texts "$corpus" --out work/texts

# Validation first: nothing ships without it.
short=(--kind function --max-characters 6000)
emulated=(--kind function --max-characters 4000 --assembly-share 0.1)
tokens pairs-validation disassembly work/samples "${short[@]}" --split validation --seed 1 --num-samples 1000
tokens emulation-validation emulation work/samples "${emulated[@]}" --split validation --seed 1 --num-samples 600
tokens pretraining-validation pretraining work/samples --split validation --seed 1 --num-samples 400
labels labels-validation data/labels-validation-x86_64.parquet data/labels-validation-aarch64.parquet

labels labels data/labels-x86_64.parquet data/labels-aarch64.parquet
pairs=${PAIRS:-170000} emulation=${EMULATION:-100000} pretraining=${PRETRAINING:-40000}
tokens pairs disassembly work/samples "${short[@]}" --seed 1 --num-samples "$pairs"
tokens emulation emulation work/samples "${emulated[@]}" --seed 2 --num-samples "$emulation"
tokens pretraining pretraining work/samples --texts work/texts --seed 3 --num-samples "$pretraining"
if [ ! -e work/tokens/synthetic/manifest.json ]; then
    if [ ! -e work/corpus-synthetic/manifest.jsonl ]; then
        "${llm_compiler[@]}" corpus synthesize --out work/synthetic --functions 12000 --seed 1
        "${llm_compiler[@]}" corpus build --config configs/corpus/synthetic.toml --out work/corpus-synthetic "${jobs[@]}"
    fi
    unless work/samples-synthetic/manifest.json corpus sample work/corpus-synthetic --out work/samples-synthetic \
        --min-instructions 1 --unit-share 0 --threshold 0.99 "${jobs[@]}"
    tokens synthetic disassembly work/samples-synthetic "${short[@]}" --seed 7 --num-samples 16000
fi

"${llm_compiler[@]}" kit pack --config "${CONFIG:-configs/train/kit.toml}" --out work/kit "${pack[@]}"
