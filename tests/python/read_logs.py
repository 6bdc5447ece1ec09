"""Reads RUN/tensorboard with TensorBoard and RUN/trainer_state.json with transformers, and says in JSON what they hold.

    python read_logs.py RUN
"""

import json
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerState


def main(run):
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    state = TrainerState.load_from_json(str(run / "trainer_state.json"))
    print(
        json.dumps(
            {
                "scalars": {
                    tag: [[event.step, event.value] for event in events.Scalars(tag)]
                    for tag in events.Tags()["scalars"]
                },
                "global_step": state.global_step,
                "loss": [[entry["step"], entry["loss"]] for entry in state.log_history],
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
