"""A peer of the end-to-end tests on paho-mqtt: publishes and ends, or subscribes and prints."""

import os
import sys
import threading
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fields import SESSION_EXPIRY_S, WRITE_LOCK, line_of, publish_properties

PATIENCE_S = 20
VERSIONS = {"31": mqtt.MQTTv31, "311": mqtt.MQTTv311, "5": mqtt.MQTTv5}


def new_client(target, version, session=None):
    # 5.0 decides at each connection what earlier versions decide for the client.
    clean_session = None if version == "5" else session is None
    api = mqtt.CallbackAPIVersion.VERSION2
    url = urlsplit(target)
    transport = {"ws": "websockets", "wss": "websockets", "unix": "unix"}.get(url.scheme, "tcp")
    client = mqtt.Client(
        api, session or "", protocol=VERSIONS[version], clean_session=clean_session, transport=transport
    )
    if url.scheme in ("wss", "tls"):
        client.tls_set(os.environ["E2E_CA_FILE"])
    return client


def connect(client, target, version, session):
    """The target is a port of this machine or a URL."""
    url = urlsplit(target)
    if url.scheme == "unix":
        host, port = url.path, 1883
    elif url.scheme:
        host, port = url.hostname, url.port
    else:
        host, port = "127.0.0.1", int(target)
    if version == "5" and session:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        client.connect(host, port, clean_start=False, properties=properties)
    else:
        client.connect(host, port)
    client.loop_start()


def publish(target, version, qos_list, topic, payload):
    client = new_client(target, version)
    connect(client, target, version, None)
    for qos in qos_list.split(","):
        text = f"{payload}-{qos}"
        info = client.publish(topic, text, int(qos), properties=publish_properties(version))
        info.wait_for_publish(PATIENCE_S)
        if not info.is_published():
            sys.exit(f"no acknowledgement for {text}")
    client.disconnect()
    client.loop_stop()


def subscribe(target, version, qos, topic_filter, count, session=None):
    client = new_client(target, version, session)
    subscribed = threading.Event()
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
        subscribed.set()

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
    if count == "0":
        done.set()
    connect(client, target, version, session)
    subscribed.wait()
    done.wait()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    commands = {"pub": publish, "sub": subscribe}
    commands[sys.argv[1]](*sys.argv[2:])
