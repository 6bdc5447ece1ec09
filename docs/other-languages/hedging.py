"""Doubts responses that hedge: the scorer of docs/other-languages.md, in Python."""

# At run time there is no file system: whatever is imported has to be imported here, while the plugin is built.
import json
import re
import sys
import traceback

from wit_world import exports
from wit_world.exports.scorer_api import Description, Dimension, Note, ResponseScore, Step_Done
from wit_world.imports import log
from wit_world.imports.types import Problem

DEFAULTS = {"hedges": ["maybe", "perhaps", "probably", "possibly", "might", "guess"], "limit": 3}
MOST = 2**32 - 1  # as in Rust, whose `limit` is a u32

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "hedges": {
            "description": "Words that hedge, in lower case.",
            "type": "array",
            "items": {"type": "string"},
            "default": DEFAULTS["hedges"],
        },
        "limit": {
            "description": "Hedges at which a response is doubted fully.",
            "type": "integer",
            "minimum": 1,
            "maximum": MOST,
            "default": DEFAULTS["limit"],
        },
    },
}


def report(kind, error, trace):
    """Tells of an exception that nobody catches. Python would print it, and there is nowhere to print to."""
    frames = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(trace)]
    log.write(log.Level.ERROR, f"{kind.__name__}: {error} ({', '.join(frames[:-4:-1])})")


sys.excepthook = report


def problems(settings: dict) -> list[Problem]:
    found = [Problem(key, "there is no such setting") for key in settings if key not in DEFAULTS]
    hedges = settings.get("hedges", [])
    if not isinstance(hedges, list) or not all(isinstance(word, str) for word in hedges):
        found.append(Problem("hedges", "must be a list of words"))
    limit = settings.get("limit", 1)
    # To Python, `True` is a number.
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST:
        found.append(Problem("limit", f"must be a whole number from 1 to {MOST}"))
    return found


def words(text: str) -> list[str]:
    """Runs of A-Z, a-z and apostrophes, in lower case."""
    return [word.lower() for word in re.findall("[A-Za-z']+", text)]


class ScorerApi(exports.ScorerApi):
    def describe(self) -> Description:
        return Description(
            name="hedging-py",
            version="0.1.0",
            summary="Doubts responses that hedge",
            dimension=Dimension.FACTUAL,
            asks=[],
            settings_schema=json.dumps(SCHEMA),
        )

    def check_settings(self, settings: str) -> list[Problem]:
        return problems(json.loads(settings))

    def score(self, settings: str, sample, rounds) -> Step_Done:
        settings = DEFAULTS | json.loads(settings)

        def score(text: str) -> ResponseScore:
            hedges = float(sum(word in settings["hedges"] for word in words(text)))
            return ResponseScore(min(hedges / settings["limit"], 1.0), [Note("hedges", hedges)])

        return Step_Done([score(response.text) for response in sample.responses])
