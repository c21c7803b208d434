"""What the peers publish, and a received message as one line of fields between tabs, as the tests read it."""

import threading

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

# The programs of this package have the same value.
SESSION_EXPIRY_S = 600
# The network thread and the main thread both print.
WRITE_LOCK = threading.Lock()


def publish_properties(version):
    if version != "5":
        return None
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "text/plain"
    properties.ResponseTopic = "reply/here"
    properties.CorrelationData = b"request-7"
    properties.UserProperty = [("colour", "blue"), ("colour", "green")]
    return properties


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
