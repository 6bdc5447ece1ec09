"""One stage with all pairs, the widest gap first: the staging policy of docs/other-languages.md, in Python."""

import json

from wit_world import exports
from wit_world.exports.staging_api import Description, Overrides, Stage
from wit_world.imports.types import Problem

SCHEMA = {"type": "object", "additionalProperties": False, "properties": {}}


class StagingApi(exports.StagingApi):
    def describe(self) -> Description:
        return Description("widest-first", "0.1.0", "One stage, the widest gap first", json.dumps(SCHEMA))

    def check_settings(self, settings: str) -> list[Problem]:
        return [Problem(key, "there is no such setting") for key in json.loads(settings)]

    def next_stage(self, settings: str, seed: int, pairs, history) -> Stage | None:
        if history:
            return None
        order = sorted(range(len(pairs)), key=lambda i: (-pairs[i].gap, pairs[i].id))
        as_configured = Overrides(None, None, None, None, None, None)
        return Stage("all", order, as_configured, False, False, "the surest preferences come first")
