"""A peer of the end-to-end tests on aiomqtt: publishes and ends, or subscribes and prints."""

import asyncio
import sys

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fields import SESSION_EXPIRY_S, line_of, publish_properties

VERSIONS = {
    "31": aiomqtt.ProtocolVersion.V31,
    "311": aiomqtt.ProtocolVersion.V311,
    "5": aiomqtt.ProtocolVersion.V5,
}


def new_client(port, version, session=None):
    options = {"protocol": VERSIONS[version]}
    if session:
        options["identifier"] = session
    if session and version == "5":
        options["clean_start"] = False
        options["properties"] = Properties(PacketTypes.CONNECT)
        options["properties"].SessionExpiryInterval = SESSION_EXPIRY_S
    elif session:
        options["clean_session"] = False
    return aiomqtt.Client("127.0.0.1", port, **options)


async def publish(port, version, qos_list, topic, payload):
    async with new_client(port, version) as client:
        for qos in qos_list.split(","):
            properties = publish_properties(version)
            await client.publish(topic, f"{payload}-{qos}", int(qos), properties=properties)


async def subscribe(port, version, qos, topic_filter, count, session=None):
    async with new_client(port, version, session) as client:
        await client.subscribe(topic_filter, int(qos))
        print("subscribed", flush=True)
        left = int(count)
        if left == 0:
            return
        async for message in client.messages:
            print(line_of(message), flush=True)
            left -= 1
            if left == 0:
                break


if __name__ == "__main__":
    commands = {"pub": publish, "sub": subscribe}
    asyncio.run(commands[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:]))
