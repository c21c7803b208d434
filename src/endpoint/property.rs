//! The properties of `-D COMMAND PROPERTY VALUE`, as mosquitto's tools write them.

use client::{Options, Properties};

type Pairs = Vec<(String, String)>;

/// All properties of one command line, by the packet that carries them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PropertySet {
    pub publish: Properties,
    pub will: Properties,
    pub will_delay_interval_s: Option<u32>,
    pub subscription_id: Option<u32>,
    pub subscribe_user_properties: Pairs,
    pub unsubscribe_user_properties: Pairs,
    pub disconnect_user_properties: Pairs,
    pub disconnect_expiry_interval_s: Option<u32>,
    connect: ConnectSet,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct ConnectSet {
    session_expiry_interval_s: Option<u32>,
    receive_maximum: Option<u16>,
    maximum_packet_size: Option<u32>,
    topic_alias_maximum: Option<u16>,
    request_response_information: Option<bool>,
    request_problem_information: Option<bool>,
    authentication_method: Option<String>,
    authentication_data: Option<Vec<u8>>,
    user_properties: Pairs,
}

impl PropertySet {
    /// The words of all `-D` in their order. How many belong together follows from the property: three, or four for
    /// a user property.
    pub fn parse(words: &[String]) -> Result<PropertySet, String> {
        let mut set = PropertySet::default();
        let mut words = words.iter().map(String::as_str);
        while let Some(command) = words.next() {
            let (Some(property), Some(value)) = (words.next(), words.next()) else {
                return Err(format!("`-D {command}` is incomplete: write `-D {command} PROPERTY VALUE`"));
            };
            let value = match property {
                "user-property" => match words.next() {
                    Some(second) => Value::Pair(value, second),
                    None => return Err(format!("`-D {command} user-property` needs a name and a value")),
                },
                _ => Value::One(value),
            };
            set.add(command, property, &value)?;
        }
        Ok(set)
    }

    pub fn apply_to(&self, options: &mut Options) {
        let connect = self.connect.clone();
        options.session_expiry_interval_s = connect.session_expiry_interval_s;
        options.receive_maximum = connect.receive_maximum;
        options.maximum_packet_size = connect.maximum_packet_size;
        options.topic_alias_maximum = connect.topic_alias_maximum;
        options.request_response_information = connect.request_response_information;
        options.request_problem_information = connect.request_problem_information;
        options.authentication_method = connect.authentication_method;
        options.authentication_data = connect.authentication_data;
        options.user_properties = connect.user_properties;
    }

    fn add(&mut self, command: &str, property: &str, value: &Value<'_>) -> Result<(), String> {
        let known = match command.to_ascii_lowercase().as_str() {
            "connect" => self.connect.add(property, value)?,
            "publish" => add_to_message(&mut self.publish, property, value)?,
            "will" if property == "will-delay-interval" => {
                self.will_delay_interval_s = Some(value.number(property)?);
                true
            }
            "will" if property != "topic-alias" => add_to_message(&mut self.will, property, value)?,
            "subscribe" if property == "subscription-identifier" => {
                self.subscription_id = Some(value.number_from_1(property)?);
                true
            }
            "disconnect" if property == "session-expiry-interval" => {
                self.disconnect_expiry_interval_s = Some(value.number(property)?);
                true
            }
            "subscribe" => value.push_to(&mut self.subscribe_user_properties),
            "unsubscribe" => value.push_to(&mut self.unsubscribe_user_properties),
            "disconnect" => value.push_to(&mut self.disconnect_user_properties),
            "will" => false,
            _ => {
                return Err(format!(
                    "`-D {command}`: expected connect, publish, subscribe, unsubscribe, disconnect or will"
                ));
            }
        };
        if known { Ok(()) } else { Err(format!("`-D {command}` has no property `{property}` here")) }
    }
}

impl ConnectSet {
    fn add(&mut self, property: &str, value: &Value<'_>) -> Result<bool, String> {
        match property {
            "session-expiry-interval" => self.session_expiry_interval_s = Some(value.number(property)?),
            "receive-maximum" => self.receive_maximum = Some(value.number_from_1(property)?),
            "maximum-packet-size" => self.maximum_packet_size = Some(value.number_from_1(property)?),
            "topic-alias-maximum" => self.topic_alias_maximum = Some(value.number(property)?),
            "request-response-information" => {
                self.request_response_information = Some(value.number::<u8>(property)? != 0);
            }
            "request-problem-information" => {
                self.request_problem_information = Some(value.number::<u8>(property)? != 0);
            }
            "authentication-method" => self.authentication_method = value.text(),
            "authentication-data" => self.authentication_data = value.text().map(String::into_bytes),
            "user-property" => return Ok(value.push_to(&mut self.user_properties)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn add_to_message(properties: &mut Properties, property: &str, value: &Value<'_>) -> Result<bool, String> {
    match property {
        "payload-format-indicator" => properties.payload_format = Some(value.number(property)?),
        "message-expiry-interval" => properties.message_expiry_interval_s = Some(value.number(property)?),
        "topic-alias" => properties.topic_alias = Some(value.number_from_1(property)?),
        "content-type" => properties.content_type = value.text(),
        "response-topic" => properties.response_topic = value.text(),
        "correlation-data" => properties.correlation_data = value.text().map(String::into_bytes),
        "user-property" => return Ok(value.push_to(&mut properties.user_properties)),
        _ => return Ok(false),
    }
    Ok(true)
}

enum Value<'a> {
    One(&'a str),
    Pair(&'a str, &'a str),
}

impl Value<'_> {
    fn number<T: std::str::FromStr>(&self, property: &str) -> Result<T, String> {
        match self {
            Value::One(text) => text.parse().map_err(|_| format!("`{text}` is not a value for {property}")),
            Value::Pair(..) => Err(format!("{property} has one value, not a name and a value")),
        }
    }

    /// [MQTT-3.3.2-8] and its like: zero would break the protocol.
    fn number_from_1<T: std::str::FromStr + Default + PartialEq>(&self, property: &str) -> Result<T, String> {
        let number = self.number(property)?;
        if number == T::default() { Err(format!("{property} must be at least 1")) } else { Ok(number) }
    }

    fn text(&self) -> Option<String> {
        match self {
            Value::One(text) => Some((*text).to_owned()),
            Value::Pair(..) => None,
        }
    }

    /// False if this is no pair, and so no user property.
    fn push_to(&self, pairs: &mut Pairs) -> bool {
        match self {
            Value::One(_) => false,
            Value::Pair(name, value) => {
                pairs.push(((*name).to_owned(), (*value).to_owned()));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(line: &str) -> Result<PropertySet, String> {
        PropertySet::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn properties_go_to_their_packets() {
        let set = parse(
            "publish content-type text CONNECT receive-maximum 5 publish user-property a b publish user-property a c \
             will will-delay-interval 7 subscribe subscription-identifier 9 disconnect session-expiry-interval 0",
        )
        .unwrap();
        assert_eq!(set.publish.content_type.as_deref(), Some("text"));
        assert_eq!(set.publish.user_properties, [("a".into(), "b".into()), ("a".into(), "c".into())]);
        assert_eq!(set.connect.receive_maximum, Some(5));
        assert_eq!(set.will_delay_interval_s, Some(7));
        assert_eq!(set.subscription_id, Some(9));
        assert_eq!(set.disconnect_expiry_interval_s, Some(0));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, expected) in [
            ("publish", "incomplete"),
            ("publish content-type", "incomplete"),
            ("publish user-property a", "needs a name and a value"),
            ("publish receive-maximum 5", "no property `receive-maximum`"),
            ("connect receive-maximum 70000", "`70000` is not a value for receive-maximum"),
            ("publish topic-alias 0", "topic-alias must be at least 1"),
            ("subscribe subscription-identifier 0", "subscription-identifier must be at least 1"),
            ("subscribe content-type x", "no property `content-type`"),
            ("will topic-alias 1", "no property `topic-alias`"),
            ("deliver content-type x", "expected connect, publish"),
        ] {
            let message = parse(line).unwrap_err();
            assert!(message.contains(expected), "{line}: {message}");
        }
    }
}
