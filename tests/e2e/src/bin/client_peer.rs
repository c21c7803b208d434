//! A peer of the end-to-end tests on our own client library: publishes and ends, or subscribes and prints.
#![allow(clippy::unwrap_used)] // A peer that is surprised ends, and its test shows what it said.

use std::env;

use client::{Message, Options, Properties, Publication, QoS, Version};
use e2e::Link;
use e2e::link::lasting;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["pub", port, version, qos_list, topic, payload] => {
            let link = connect(port, Options::new(version_of(version), client_id()));
            publish(link, version, qos_list, topic, payload);
        }
        ["sub", port, version, qos, filter, count] => {
            let link = connect(port, Options::new(version_of(version), client_id()));
            subscribe(link, qos, filter, count.parse().unwrap());
        }
        ["sub", port, version, qos, filter, count, client_id] => {
            let link = connect(port, lasting(version_of(version), client_id));
            subscribe(link, qos, filter, count.parse().unwrap());
        }
        _ => panic!("unexpected arguments: {words:?}"),
    }
}

fn connect(port: &str, options: Options) -> Link {
    Link::connect(port.parse().unwrap(), options)
}

fn version_of(word: &str) -> Version {
    match word {
        "31" => Version::V31,
        "311" => Version::V311,
        "5" => Version::V5,
        _ => panic!("unexpected version: {word}"),
    }
}

fn client_id() -> String {
    format!("client-peer-{}", std::process::id())
}

fn publish(mut link: Link, version: &str, qos_list: &str, topic: &str, payload: &str) {
    for qos in qos_list.split(',') {
        let mut publication = Publication::new(topic, format!("{payload}-{qos}"), qos_of(qos));
        if version == "5" {
            publication.properties = properties();
        }
        link.publish_with(publication);
    }
    link.close();
}

fn properties() -> Properties {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Properties {
        content_type: Some("text/plain".to_owned()),
        response_topic: Some("reply/here".to_owned()),
        correlation_data: Some(b"request-7".to_vec()),
        user_properties: vec![pair("colour", "blue"), pair("colour", "green")],
        ..Properties::default()
    }
}

fn subscribe(mut link: Link, qos: &str, filter: &str, count: usize) {
    link.subscribe(filter, qos_of(qos));
    println!("subscribed");
    for _ in 0..count {
        println!("{}", line_of(&link.message()));
    }
    link.close();
}

fn line_of(message: &Message) -> String {
    let properties = &message.properties;
    let pairs: Vec<String> =
        properties.user_properties.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let fields = [
        message.topic.clone(),
        (message.qos as u8).to_string(),
        u8::from(message.retain).to_string(),
        String::from_utf8_lossy(&message.payload).into_owned(),
        properties.content_type.clone().unwrap_or_default(),
        properties.response_topic.clone().unwrap_or_default(),
        String::from_utf8_lossy(properties.correlation_data.as_deref().unwrap_or_default()).into_owned(),
        pairs.join(" "),
    ];
    fields.join("\t")
}

fn qos_of(text: &str) -> QoS {
    text.parse::<u8>().ok().and_then(|number| QoS::try_from(number).ok()).expect("0, 1 or 2")
}
