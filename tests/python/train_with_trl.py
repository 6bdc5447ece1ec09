"""Trains on an exported file with TRL's DPOTrainer, and says in JSON what came of it.

    python train_with_trl.py MODEL FILE

FILE is JSONL or Parquet, as `udasa export` writes it. It is given to TRL as `datasets` loads it. Nothing is fetched.
"""

import json
import os
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

STEPS = 3


def main(model, file):
    kind = "parquet" if file.endswith(".parquet") else "json"
    with tempfile.TemporaryDirectory() as cache:
        rows = load_dataset(kind, data_files=file, split="train", cache_dir=cache)
        ours = [
            [row[f"{side}_token_ids"] for side in ("prompt", "chosen", "rejected")] for row in rows
        ]
        columns = rows.column_names
        settings = DPOConfig(
            output_dir=cache,
            max_steps=STEPS,
            per_device_train_batch_size=4,
            learning_rate=1e-3,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            max_length=None,
            disable_tqdm=True,
        )
        trainer = DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(model),
            args=settings,
            train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(model),
        )
        theirs = [[row[f"{side}_ids"] for side in ("prompt", "chosen", "rejected")] for row in trainer.train_dataset]
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(
        json.dumps(
            {
                "columns": columns,
                "rows": len(ours),
                "same_prompts": sum(a[0] == b[0] for a, b in zip(ours, theirs)),
                "same_ids": sum(a == b for a, b in zip(ours, theirs)),
                "losses": losses,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
