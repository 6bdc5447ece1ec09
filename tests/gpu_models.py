"""Random Qwen3 checkpoints of 0.6B and 8B parameters in bf16, for `udasa bench gpu`. Needs torch with CUDA and transformers.

Usage: gpu_models.py OUT TOKENIZER, where TOKENIZER is a folder with any tokenizer.json: the benchmark's texts are made-up ids.
"""
import pathlib, shutil, sys
import torch
from transformers import AutoModelForCausalLM, Qwen3Config

out, tokenizer = map(pathlib.Path, sys.argv[1:])
common = dict(vocab_size=151936, num_key_value_heads=8, head_dim=128, max_position_embeddings=4096, rope_theta=1e6, eos_token_id=2)
sizes = {
    "qwen3-0.6b": dict(hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16, tie_word_embeddings=True),
    "qwen3-8b": dict(hidden_size=4096, intermediate_size=12288, num_hidden_layers=36, num_attention_heads=32, tie_word_embeddings=False),
}
for name, size in sizes.items():
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(Qwen3Config(**common, **size), dtype=torch.bfloat16)
    model.save_pretrained(out / name)
    for file in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(tokenizer / file, out / name / file)
    del model
    torch.cuda.empty_cache()
