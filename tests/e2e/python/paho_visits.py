"""Clients on paho-mqtt that say who they are: what becomes of each visit that a file describes is one line of JSON."""

import json
import sys
import time
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

NOT_AUTHORIZED = 135
PATIENCE_S = 20


class Visitor:
    def __init__(self, visit):
        self.visit = visit
        self.url = urlsplit(visit["url"])
        transport = {"ws": "websockets", "wss": "websockets", "unix": "unix"}.get(self.url.scheme, "tcp")
        api = mqtt.CallbackAPIVersion.VERSION2
        self.client = mqtt.Client(api, visit["client_id"], protocol=mqtt.MQTTv5, transport=transport)
        if self.url.scheme in ("tls", "wss"):
            self.client.tls_set(visit["ca"], visit.get("certificate"), visit.get("key"))
        if "user" in visit:
            self.client.username_pw_set(visit["user"], visit["password"])
        self.connack = None
        self.subscribed = False
        self.acknowledged = {}
        self.messages = []
        self.client.on_connect = self.on_connect
        self.client.on_subscribe = self.on_subscribe
        self.client.on_publish = self.on_publish
        self.client.on_message = self.on_message

    def on_connect(self, _client, _userdata, _flags, reason, _properties):
        self.connack = reason.value

    def on_subscribe(self, _client, _userdata, _mid, reasons, _properties):
        assert not reasons[0].is_failure, reasons
        self.subscribed = True

    def on_publish(self, _client, _userdata, mid, reason, _properties):
        self.acknowledged[mid] = reason.value

    def on_message(self, _client, _userdata, message):
        self.messages.append(message.payload)

    def connect(self):
        properties = Properties(PacketTypes.CONNECT)
        if "token" in self.visit:
            properties.AuthenticationMethod = "JWT"
            properties.AuthenticationData = self.visit["token"].encode()
        if self.url.scheme == "unix":
            self.client.connect(self.url.path, 1883, properties=properties)
        else:
            self.client.connect(self.url.hostname, self.url.port, properties=properties)

    def wait(self, is_done):
        """Whether it came before the connection ended."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_done():
            if self.client.loop(0.1) != mqtt.MQTT_ERR_SUCCESS:
                return is_done()
            if time.monotonic() > deadline:
                sys.exit(f"nothing came: {self.visit}")
        return True

    def writes(self, topic):
        mid = self.client.publish(topic, "m", 1).mid
        assert self.wait(lambda: mid in self.acknowledged), "the connection ended"
        reason = self.acknowledged[mid]
        assert reason < 128 or reason == NOT_AUTHORIZED, reason
        return reason < 128

    def topic(self):
        """Who is in may write exactly one of its two topics, and gets back what it publishes there."""
        assert not self.writes("of/somebody-else")
        [topic] = [topic for topic in (self.visit["own"], "open") if self.writes(topic)]
        self.client.subscribe(topic, 1)
        assert self.wait(lambda: self.subscribed), "the connection ended"
        self.client.publish(topic, "back", 1)
        assert self.wait(lambda: self.messages), "the connection ended"
        assert self.messages == [b"back"], self.messages
        return topic

    def come(self):
        try:
            self.connect()
        except (OSError, mqtt.WebsocketConnectionError) as error:
            return {"cut": str(error)}
        if not self.wait(lambda: self.connack is not None):
            return {"cut": "the connection ended"}
        if self.connack != 0:
            return {"refused": self.connack}
        topic = self.topic()
        self.client.disconnect()
        return {"in": topic}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        for visit in json.load(file):
            print(json.dumps(Visitor(visit).come()), flush=True)
