#!/usr/bin/env bash
# Checks the host on a CUDA device: the small pipeline in f32 and in bf16 with LoRA, that a missing device is a clear error, and, where
# `../shared` is there, the model's golden numbers. Not part of `cargo xtask test`, which needs no GPU. Usage, after `cargo xtask setup`:
#
#   TORCH_LIB=/path/to/torch/lib tests/gpu.sh
#
# where TORCH_LIB is the `lib` folder of a torch 2.11 installation with CUDA (it holds libtorch_cuda.so). The golden numbers are compared by
# the host's own tests; UNIT_TESTS names their binary where cargo is not at hand to make it.
set -euo pipefail
cd "$(dirname "$0")/.."
export LD_LIBRARY_PATH=${TORCH_LIB:?the lib folder of a torch 2.11 installation with CUDA}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
small=(--plugins plugins-built --set model.device=cuda --set world.documents=8000 --set world.prompts=128 --set sft.steps=500)
target/release/udasa run configs/mini.toml "${small[@]}" --out "$out/f32"
target/release/udasa run configs/mini.toml "${small[@]}" --out "$out/bf16" \
  --set model.dtype=bf16 --set train.lora.rank=8 --set train.lora.alpha=16
for run in f32 bf16; do
  test -s "$out/$run/report.html" && test -s "$out/$run/eval.json"
done
if CUDA_VISIBLE_DEVICES= target/release/udasa generate configs/mini.toml "${small[@]}" --out "$out/none" 2>"$out/error"; then
  echo "a missing device went unnoticed" >&2
  exit 1
fi
grep -q "no CUDA device" "$out/error"
tests=(model:: train::)
export UDASA_TEST_DEVICE=cuda
if [ -n "${UNIT_TESTS:-}" ]; then
  "$UNIT_TESTS" --test-threads 1 "${tests[@]}"
else
  cargo test --release -p udasa --lib -- --test-threads 1 "${tests[@]}"
fi
echo "all checks passed"
