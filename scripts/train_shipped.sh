#!/bin/bash
# Remake the shipped weights: their data, and the eleven runs of configs/train/shipped (whose README.md says what is
# known and what is not). Killed, the same command goes on: what is finished is skipped, an unfinished run is resumed.
#
#   llm-compiler corpus build --config configs/corpus/debian.toml --out work/corpus      # first, some hours
#   scripts/train_shipped.sh                                            # some hours for data, 5 for training
#   STEPS=3 scripts/train_shipped.sh                                    # a rehearsal: 3 steps a run
#
# LLM_COMPILER is the command (default: llm-compiler), JOBS its worker processes. The weights end up in
# work/runs/shipped/11-mu8.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra llm_compiler <<<"${LLM_COMPILER:-llm-compiler}"
jobs=(--jobs "${JOBS:-1}")

# unless FILE COMMAND...: the file is the last that the command writes.
unless() {
    local file=$1
    shift
    if [ -e "$file" ]; then
        echo "$file is there"
    else
        echo "+ ${llm_compiler[*]} $*"
        "${llm_compiler[@]}" "$@"
    fi
}

# stage_data NAME STAGE SAMPLES OPTION...: work/data/NAME. Nothing is needed of it once its tokens are there.
stage_data() {
    local name=$1 stage=$2 samples=$3
    shift 3
    if [ -e "work/tokens/$name/manifest.json" ]; then
        echo "work/tokens/$name is there"
    else
        unless "work/data/$name/manifest.json" \
            dataset build "$stage" "$samples" --out "work/data/$name" "${jobs[@]}" "$@"
    fi
}

# tokens NAME: work/tokens/NAME of work/data/NAME.
tokens() {
    unless "work/tokens/$1/manifest.json" \
        tokenizer pack "work/data/$1" --tokenizer work/tokenizer --out "work/tokens/$1" "${jobs[@]}"
}

# labels NAME OPTION... TABLE...: work/tokens/NAME.
labels() {
    local name=$1
    shift
    unless "work/tokens/$name/manifest.json" \
        labels pack "$@" --tokenizer work/tokenizer -o "work/tokens/$name" --max-prompt-tokens 1024
}

# train_run NAME: the run of configs/train/shipped/NAME.toml, as far as it is not done.
train_run() {
    local config=configs/train/shipped/$1.toml stage steps
    stage=$(sed -n 's/^stage = "\(.*\)"$/\1/p' "$config")
    steps=${STEPS:-$(sed -n 's/^max_steps = //p' "$config")}
    if [ -e "work/runs/shipped/$1/step-$(printf %08d "$steps")/training.json" ]; then
        echo "work/runs/shipped/$1 is there"
        return
    fi
    echo "+ ${llm_compiler[*]} train $stage --config $config --resume --set max_steps=$steps"
    "${llm_compiler[@]}" train "$stage" --config "$config" --resume --set "max_steps=$steps"
}

packages=bc,box2d,brotli,cadical,cjson,cmark,dash,diffutils,double-conversion,ed,expat,fmtlib,gawk,glslang
packages+=,gnuchess,googletest,gperf,graphite2,grep,hiredis,imath,inform6-compiler,isl,jansson,json-c,jsonnet
packages+=,lcms2,less,leveldb,libde265,libebml,libjsoncpp,libonig,libsamplerate,libyaml,lp-solve,lz4,lzip,lzo2
packages+=,m4,mawk,minisat2,muparser,nano,nasm,ninja-build,patch,pcre2,popt,pugixml,re2,sed,snappy,soundtouch
packages+=,sqlite3,tidy-html5,tinyxml2,uchardet,xz-utils,yaml-cpp

# Samples: of all packages, of those that were there first, and of synthetic C; source code and prose.
unless work/samples/manifest.json \
    corpus sample work/corpus --out work/samples --max-package-functions 6000 "${jobs[@]}"
unless work/samples-first/manifest.json \
    corpus sample work/corpus --out work/samples-first --packages "$packages" --max-package-functions 1500 "${jobs[@]}"
if [ ! -e work/samples-synthetic/manifest.json ]; then
    "${llm_compiler[@]}" corpus synthesize --out work/synthetic --functions 12000 --seed 1
    "${llm_compiler[@]}" corpus build --config configs/corpus/synthetic.toml --out work/corpus-synthetic "${jobs[@]}"
    "${llm_compiler[@]}" corpus sample work/corpus-synthetic --out work/samples-synthetic --min-instructions 1 \
        --unit-share 0 --threshold 0.99 "${jobs[@]}"
fi
unless work/texts/manifest.json dataset texts work/corpus --out work/texts

# The tokenizer, from pretraining samples of both targets. Those of x86-64 then came from an earlier corpus.
stage_data pretraining pretraining work/samples --architecture x86_64 --texts work/texts --num-samples 5000
if [ ! -e work/tokenizer/tokenizer.json ]; then
    stage_data pretraining-aarch64 pretraining work/samples-first --architecture aarch64 --num-samples 2500
    "${llm_compiler[@]}" tokenizer train work/data/pretraining work/data/pretraining-aarch64 --out work/tokenizer \
        --max-characters 24000000
fi
tokens pretraining

# Pairs of assembly and IR, and emulation: seeds and options as the manifests' identities have them.
pairs=(--kind function --max-characters 6000)
stage_data pairs-validation disassembly work/samples-first "${pairs[@]}" --split validation --seed 1 --num-samples 600
stage_data pairs-1 disassembly work/samples-first "${pairs[@]}" --seed 1 --num-samples 12000
stage_data pairs-2 disassembly work/samples-first "${pairs[@]}" --seed 2 --num-samples 30000
stage_data pairs-5-begun disassembly work/samples "${pairs[@]}" --seed 5 --num-samples 29000
stage_data pairs-5 disassembly work/samples "${pairs[@]}" --seed 5 --num-samples 36000
stage_data pairs-6 disassembly work/samples "${pairs[@]}" --seed 6 --num-samples 40000
stage_data synthetic-7 disassembly work/samples-synthetic "${pairs[@]}" --seed 7 --num-samples 16000
stage_data emulation-1 emulation work/samples-first --kind function --max-characters 3500 --seed 1 --num-samples 4000
stage_data emulation-2 emulation work/samples --kind function --max-characters 4000 --assembly-share 0.1 --seed 2 \
    --num-samples 12000
stage_data emulation-8 emulation work/samples --kind function --max-characters 3500 --assembly-share 0 --seed 8 \
    --num-samples 12000 --shard-size 500
for name in pairs-validation pairs-1 pairs-2 pairs-5-begun pairs-5 pairs-6 synthetic-7 emulation-1 emulation-2 emulation-8
do
    tokens "$name"
done

# Labels. Runs 1 and 2 had fewer modules than the tables have now: see README.md.
labels labels-1 data/labels-x86_64.parquet --samples work/samples work/samples-first --hold-out 0.08
labels labels-2 data/labels-x86_64.parquet data/labels-aarch64.parquet --samples work/samples work/samples-first \
    --hold-out 0.05
labels labels-3 data/labels-x86_64.parquet data/labels-aarch64.parquet --samples work/samples
labels labels-validation data/labels-validation-x86_64.parquet data/labels-validation-aarch64.parquet \
    --samples work/samples

for name in 01-ft1 02-ft2 03-all1 04-all2 05-mu1 06-mu2 07-mu3 08-mu4; do
    train_run "$name"
done

# What this chain's own seventh run lifts wrong, to be repaired in the ninth.
if [ ! -e work/tokens/repairs-1/manifest.json ]; then
    weights=$(printf '%s\n' work/runs/shipped/07-mu3/step-* | sort | tail -n 1)
    unless work/data/repairs-1/manifest.json dataset repairs work/data/pairs-2 --model "$weights" \
        --out work/data/repairs-1 --num-samples 4500 --seed 1 "${jobs[@]}"
    tokens repairs-1
fi

for name in 09-mu5 10-mu7 11-mu8; do
    train_run "$name"
done
