"""Reads a JSON log line by line, and prints the id of each client that connected, as Python writes it."""

import json
import re
import sys

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")

with open(sys.argv[1], encoding="utf-8") as log:
    for number, line in enumerate(log, 1):
        entry = json.loads(line)
        for key in ("timestamp", "level", "message"):
            if not isinstance(entry.get(key), str):
                sys.exit(f"line {number} has no {key}: {line}")
        if not TIME.fullmatch(entry["timestamp"]):
            sys.exit(f"line {number} has a strange time: {line}")
        if entry["message"] == "connected":
            print(repr(entry["client_id"]))
