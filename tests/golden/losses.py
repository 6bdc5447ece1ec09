"""The part of the golden losses (../../../shared/oracles/losses.json, made by TRL's own code with ../../../shared/peers/p3_losses.py) that a
stand-alone test needs: sums instead of tokens, and the losses that this project has.

Usage: losses.py PATH/TO/losses.json > losses.json
"""
import json, sys

KEPT = {
    "sigmoid", "sigmoid_beta0.5", "cdpo", "robust", "ipo", "hinge", "hinge_beta0.5", "sigmoid_norm", "simpo", "simpo_beta0.1",
    "simpo_ls0.1_cpo1", "orpo_or_only", "orpo", "kto", "kto_weights", "kto_kl_clamped", "apo_zero_unpaired", "nca_pair", "apo_zero",
    "apo_down", "sft",
}
golden = json.load(open(sys.argv[1]))
golden["inputs"] = {name: value for name, value in golden["inputs"].items() if "tokens" not in name and "wpo" not in name}
golden["not_kept"] = sorted(set(golden["losses"]) - KEPT)
golden["losses"] = {name: case for name, case in golden["losses"].items() if name in KEPT}
assert set(golden["losses"]) == KEPT
json.dump(golden, sys.stdout, separators=(",", ":"))
print()
