"""Holds JSON files against a JSON Schema: validate.py SCHEMA FILE... One line for each that does not fit, and status 1."""

import json
import sys

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
validator = jsonschema.validators.validator_for(schema)
validator.check_schema(schema)
complaints = 0
for name in sys.argv[2:]:
    with open(name, encoding="utf-8") as file:
        error = jsonschema.exceptions.best_match(validator(schema).iter_errors(json.load(file)))
    if error is not None:
        complaints += 1
        print(f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}")
sys.exit(1 if complaints else 0)
