"""A received message as one line of fields between tabs, as the tests read it."""

import threading

# The network thread and the main thread both print.
WRITE_LOCK = threading.Lock()


def line_of(message):
    properties = message.properties
    pairs = getattr(properties, "UserProperty", [])
    fields = [
        str(message.topic),
        str(message.qos),
        str(int(message.retain)),
        bytes(message.payload).decode(),
        getattr(properties, "ContentType", ""),
        getattr(properties, "ResponseTopic", ""),
        getattr(properties, "CorrelationData", b"").decode(),
        " ".join(f"{name}:{value}" for name, value in pairs),
    ]
    return "\t".join(fields)
