#!/bin/sh
# From two folders of sources to a model that chooses pass lists for code like theirs:
#
#     ./run.sh [MODEL]
#
# MODEL is a checkpoint to start from (default: the weights that came with llm-compiler). Needs LLVM
# and the extras data, model and train. All results go to build/ here; stopped, the same command
# goes on. MODULES, MINUTES and JOBS bound the work.
set -eu
cd "$(dirname "$0")"
modules=${MODULES:-100} minutes=${MINUTES:-3} jobs=${JOBS:-2}
model=${1:-$(python3 -c 'from llm_compiler.model.engines.loader import shipped_model as m; print(m())')}

# 1. Sources to bitcode, bitcode to samples: each function, and each file that is short enough.
[ -e build/corpus/manifest.jsonl ] || llm-compiler corpus build --config corpus.toml --out build/corpus
[ -e build/samples/manifest.json ] || llm-compiler corpus sample build/corpus --out build/samples --jobs "$jobs"

# 2. Labels: what every list of the coreset makes of every sample. No package gives more than a tenth
#    of --max-modules.
for split in train validation; do
    [ -e "build/$split.parquet" ] || llm-compiler labels build build/samples -o "build/$split.parquet" \
        --split "$split" --max-modules "$((10 * modules))" --jobs "$jobs"
done
[ -e build/labels/manifest.json ] || llm-compiler labels pack build/train.parquet build/validation.parquet \
    --samples build/samples --tokenizer "$model" -o build/labels

# 3. Adapters beside the model's weights, learnt from the train split; at the end it says what the
#    model's first lists save on the validation split.
[ -e build/run/curves.png ] || llm-compiler train flag-tuning --config fine-tune.toml --init "$model" \
    --lora 16 --resume --max-minutes "$minutes"

# 4. A plain checkpoint of both, and what its first list makes of the code that it learnt from, which is
#    what it is for, and of code that it has not seen.
[ -e build/model ] || llm-compiler model merge build/run -o build/model
llm-compiler model card build/model --name fine-tuned > build/MODEL_CARD.md
for code in lisp/*.c sheet/*.cpp; do
    for who in before after; do
        mkdir -p "build/$who"
        [ "$who" = after ] && weights=../model || weights=$model
        echo "$who: $code"
        # shellcheck disable=SC2086  # the names of files
        (cd "build/$who" && llm-compiler optimize --model "$weights" --candidates 1 --jobs "$jobs" ../../../$code)
    done
done
