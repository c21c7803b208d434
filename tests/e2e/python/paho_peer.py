"""A peer of the end-to-end tests on paho-mqtt: publishes and ends, or subscribes and prints."""

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fields import WRITE_LOCK, line_of

PATIENCE_S = 20
VERSIONS = {"31": mqtt.MQTTv31, "311": mqtt.MQTTv311, "5": mqtt.MQTTv5}


def new_client(version):
    return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=VERSIONS[version])


def publish_properties(version):
    if version != "5":
        return None
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "text/plain"
    properties.ResponseTopic = "reply/here"
    properties.CorrelationData = b"request-7"
    properties.UserProperty = [("colour", "blue"), ("colour", "green")]
    return properties


def publish(port, version, qos_list, topic, payload):
    client = new_client(version)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for qos in qos_list.split(","):
        text = f"{payload}-{qos}"
        info = client.publish(topic, text, int(qos), properties=publish_properties(version))
        info.wait_for_publish(PATIENCE_S)
        if not info.is_published():
            sys.exit(f"no acknowledgement for {text}")
    client.disconnect()
    client.loop_stop()


def subscribe(port, version, qos, topic_filter, count):
    client = new_client(version)
    done = threading.Event()
    received = 0

    def on_connect(client, _userdata, _flags, reason, _properties):
        if reason.is_failure:
            sys.exit(f"refused: {reason}")
        client.subscribe(topic_filter, int(qos))

    def on_subscribe(_client, _userdata, _mid, reasons, _properties):
        if any(reason.is_failure for reason in reasons):
            sys.exit(f"not subscribed: {reasons}")
        with WRITE_LOCK:
            print("subscribed", flush=True)

    def on_message(_client, _userdata, message):
        nonlocal received
        with WRITE_LOCK:
            print(line_of(message), flush=True)
        received += 1
        if received == int(count):
            done.set()

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    done.wait()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    commands = {"pub": publish, "sub": subscribe}
    commands[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
