"""Reads a run of udasa's with transformers (and peft), and says in JSON what came of it.

    python load_in_transformers.py RUN

Checks that RUN/initial and RUN/model (or RUN/adapter on RUN/initial) load whole, and computes with transformers what
udasa recorded: every sampled token's log-probability (responses.jsonl), and how far the last stage moved the chosen
responses (training.json). Nothing is fetched: a name that is no folder is an error.
"""

import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

DOCUMENTS = 50
PROMPTS = 50


def lines(path, limit=None):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line, _ in zip(file, range(limit or sys.maxsize))]


def load(folder):
    """A model; what of its weights was missing or left over."""
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    wrong = sorted(str(key) for keys in ("missing", "unexpected", "mismatched") for key in info[f"{keys}_keys"])
    return model.eval(), wrong


def load_adapter(folder, base):
    """An adapter on a model; which of its tensors the model does not hold as they are in the file."""
    model = PeftModel.from_pretrained(base, folder).eval()
    held = get_peft_model_state_dict(model)
    saved = load_file(folder / "adapter_model.safetensors")
    wrong = sorted(set(held) ^ set(saved))
    wrong += sorted(name for name in set(held) & set(saved) if not torch.equal(held[name], saved[name]))
    return model, wrong


def logps(model, prompt, continuation):
    """Log-probability of each token of a continuation, nats."""
    ids = torch.tensor([prompt + continuation])
    logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].double()
    return torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(continuation)[:, None])[:, 0].tolist()


def nats_a_token(model, tokenizer, documents):
    """Mean negative log-likelihood of all tokens but each document's first."""
    all_ids = [tokenizer(document["text"])["input_ids"] for document in documents]
    values = [logp for ids in all_ids for logp in logps(model, ids[:1], ids[1:])]
    return -sum(values) / len(values)


def greedy(model, tokenizer, messages):
    """The prompt's ids by the chat template, and the likeliest response."""
    rendered = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    prompt = rendered["input_ids"]
    out = model.generate(**rendered, max_new_tokens=16, do_sample=False, pad_token_id=0)
    return prompt[0].tolist(), tokenizer.decode(out[0, prompt.shape[1] :])


@torch.no_grad()
def main(run):
    tokenizer = AutoTokenizer.from_pretrained(run / "initial")
    initial, wrong = load(run / "initial")
    documents = lines(run / "world/corpus.jsonl", DOCUMENTS)
    samples = lines(run / "responses.jsonl", PROMPTS)
    prompt, answer = greedy(initial, tokenizer, samples[0]["prompt"])
    result = {
        "class": type(initial).__name__,
        "initial_wrong": wrong,
        "nats_a_token": nats_a_token(initial, tokenizer, documents),
        "same_prompt_ids": prompt == samples[0]["prompt_token_ids"],
        "greedy": answer,
        "farthest_logprob": max(
            abs(ours - theirs)
            for sample in samples
            for response in sample["responses"]
            for ours, theirs in zip(
                response["logprobs"], logps(initial, sample["prompt_token_ids"], response["token_ids"]), strict=True
            )
        ),
    }

    pairs = lines(run / "pairs.jsonl")
    stage = json.loads((run / "training.json").read_text())[-1]
    chosen = [(pairs[i]["prompt_token_ids"], pairs[i]["chosen_token_ids"]) for i in stage["pairs"]]
    before = [sum(logps(initial, *one)) for one in chosen]
    # peft changes the model it is given, so this stands behind what is asked of the initial one.
    if (run / "adapter").exists():
        trained, wrong = load_adapter(run / "adapter", initial)
    else:
        trained, wrong = load(run / "model")
    after = [sum(logps(trained, *one)) for one in chosen]
    moved = sum((a - b) / len(ids) for a, b, (_, ids) in zip(after, before, chosen)) / len(chosen)
    result |= {
        "trained_wrong": wrong,
        "trained_greedy": greedy(trained, tokenizer, samples[0]["prompt"])[1],
        "moved": moved,
        "moved_recorded": stage["outcome"]["kl_to_initial"],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
