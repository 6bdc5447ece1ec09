"""Golden learning-rate schedules, by transformers' own functions (5.23.0). They are plain Python: torch need not be installed.

Usage: schedules.py PATH/TO/transformers/optimization.py > schedules.json
"""
import ast, json, math, sys

wanted = {
    "_get_constant_schedule_with_warmup_lr_lambda",
    "_get_linear_schedule_with_warmup_lr_lambda",
    "_get_polynomial_decay_schedule_with_warmup_lr_lambda",
    "_get_cosine_schedule_with_warmup_lr_lambda",
}
tree = ast.parse(open(sys.argv[1]).read())
# The cosine is defined twice, the second time with `min_lr_rate`: the last definition counts, as in the module.
functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
scope = {"math": math}
exec(compile(ast.Module(functions, []), sys.argv[1], "exec"), scope)
constant, linear, polynomial, cosine = (
    scope[f"_get_{name}_lr_lambda"]
    for name in ["constant_schedule_with_warmup", "linear_schedule_with_warmup",
                 "polynomial_decay_schedule_with_warmup", "cosine_schedule_with_warmup"]
)

cases = []
for total, warm in [(1, 0), (7, 0), (20, 2), (20, 19), (33, 5)]:
    kw = dict(num_warmup_steps=warm, num_training_steps=total)
    add = lambda schedule, last, f: cases.append(
        {"schedule": schedule, "total": total, "warm": warm, "last": last, "shares": [f(s) for s in range(total + 1)]})
    add("constant", 0.0, lambda s: constant(s, num_warmup_steps=warm))
    add("linear", 0.0, lambda s: linear(s, **kw))
    add("linear", 0.05, lambda s: polynomial(s, **kw, lr_end=0.05, power=1.0, lr_init=1))
    add("cosine", 0.0, lambda s: cosine(s, **kw, num_cycles=0.5))
    add("cosine", 0.05, lambda s: cosine(s, **kw, num_cycles=0.5, min_lr_rate=0.05))
print("[" + ",\n".join(json.dumps(case) for case in cases) + "]")
