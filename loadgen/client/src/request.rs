//! SUBSCRIBE and UNSUBSCRIBE: asked by the user, unanswered by the server.
//!
//! A request that was not answered when its connection ended is asked again, as a new packet, on the next one: MQTT
//! redelivers publications only, and asking twice changes nothing.

use std::collections::VecDeque;

use mqtt::{PacketId, ReasonCode, SubscriptionOptions, Version, Violation, is_topic_filter, shared_filter};

use crate::event::{Event, Token};
use crate::granted::Granted;
use crate::outlet::Outlet;
use crate::packet_id::PacketIds;
use crate::publication::user_properties_of;
use crate::refusal::{Refusal, SUBSCRIPTION_ID_MAX, check_string, check_user_properties};

/// One SUBSCRIBE. What 3.1 and 3.1.1 cannot say is left out for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    pub filters: Vec<(String, SubscriptionOptions)>,
    pub subscription_id: Option<u32>,
    pub user_properties: Vec<(String, String)>,
}

/// One UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscription {
    pub filters: Vec<String>,
    pub user_properties: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) enum Request {
    Subscribe(Subscription),
    Unsubscribe(Unsubscription),
}

/// All that is unanswered, in the order of asking.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    entries: VecDeque<Entry>,
    unsent: usize,
}

#[derive(Debug)]
struct Entry {
    token: Token,
    request: Request,
    /// Present from the sending on this connection.
    packet_id: Option<PacketId>,
}

/// What SUBACK and UNSUBACK have in common.
pub(crate) struct Answer<'a> {
    pub(crate) packet_id: PacketId,
    pub(crate) reasons: Vec<ReasonCode>,
    pub(crate) reason_string: Option<&'a str>,
}

impl Requests {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn push(&mut self, token: Token, request: Request) {
        self.entries.push_back(Entry { token, request, packet_id: None });
        self.unsent += 1;
    }

    /// The connection is gone, and with it the packet ids: everything is to be asked again.
    pub(crate) fn restart(&mut self, packet_ids: &mut PacketIds) {
        for entry in &mut self.entries {
            if let Some(packet_id) = entry.packet_id.take() {
                packet_ids.release(packet_id);
            }
        }
        self.unsent = self.entries.len();
    }

    pub(crate) fn send(&mut self, granted: &Granted, packet_ids: &mut PacketIds, outlet: &mut Outlet) {
        while self.unsent > 0 {
            let at = self.entries.len() - self.unsent;
            let Some(packet_id) = packet_ids.take() else { return };
            let request = &self.entries[at].request;
            let version = outlet.version;
            self.unsent -= 1;
            if outlet.send_within(granted.maximum_packet_size, |out| request.encode(packet_id, version, out))
            {
                self.entries[at].packet_id = Some(packet_id);
                continue;
            }
            packet_ids.release(packet_id);
            let entry = self.entries.remove(at).expect("the entry was just read");
            let reasons = vec![ReasonCode::PacketTooLarge; entry.request.filter_count()];
            outlet.report(entry.answered(reasons, None));
        }
    }

    pub(crate) fn on_suback(
        &mut self,
        answer: Answer<'_>,
        packet_ids: &mut PacketIds,
        outlet: &mut Outlet,
    ) -> Result<(), Violation> {
        let asked = |request: &Request| matches!(request, Request::Subscribe(_));
        self.on_answer(answer, asked, packet_ids, outlet)
    }

    pub(crate) fn on_unsuback(
        &mut self,
        answer: Answer<'_>,
        packet_ids: &mut PacketIds,
        outlet: &mut Outlet,
    ) -> Result<(), Violation> {
        let asked = |request: &Request| matches!(request, Request::Unsubscribe(_));
        self.on_answer(answer, asked, packet_ids, outlet)
    }

    fn on_answer(
        &mut self,
        answer: Answer<'_>,
        asked: impl Fn(&Request) -> bool,
        packet_ids: &mut PacketIds,
        outlet: &mut Outlet,
    ) -> Result<(), Violation> {
        let found = self
            .entries
            .iter()
            .position(|entry| entry.packet_id == Some(answer.packet_id) && asked(&entry.request));
        let Some(at) = found else {
            return Err(Violation {
                reason: ReasonCode::ProtocolError,
                what: "a SUBACK or UNSUBACK answers nothing that was asked",
            });
        };
        let request = &self.entries[at].request;
        let has_reasons = matches!(request, Request::Subscribe(_)) || outlet.version == Version::V5;
        if has_reasons && answer.reasons.len() != request.filter_count() {
            return Err(Violation {
                reason: ReasonCode::ProtocolError,
                what: "a SUBACK or UNSUBACK has not one reason code per filter",
            });
        }
        packet_ids.release(answer.packet_id);
        let entry = self.entries.remove(at).expect("the position was just found");
        outlet.report(entry.answered(answer.reasons, answer.reason_string));
        Ok(())
    }
}

impl Entry {
    fn answered(self, reasons: Vec<ReasonCode>, reason_string: Option<&str>) -> Event {
        let token = self.token;
        let reason_string = reason_string.map(str::to_owned);
        match self.request {
            Request::Subscribe(_) => Event::Subscribed { token, reasons, reason_string },
            Request::Unsubscribe(_) => Event::Unsubscribed { token, reasons, reason_string },
        }
    }
}

impl Request {
    fn filter_count(&self) -> usize {
        match self {
            Request::Subscribe(subscription) => subscription.filters.len(),
            Request::Unsubscribe(unsubscription) => unsubscription.filters.len(),
        }
    }

    fn encode(&self, packet_id: PacketId, version: Version, out: &mut Vec<u8>) {
        match self {
            Request::Subscribe(subscription) => {
                let user_properties = user_properties_of(&subscription.user_properties);
                let filters = subscription.filters.iter();
                let subscribe = mqtt::Subscribe {
                    packet_id,
                    subscription_id: subscription.subscription_id,
                    user_properties: user_properties.as_ref(),
                    filters: filters.map(|(filter, options)| (filter.as_str(), *options)).collect(),
                };
                subscribe.encode(version, out);
            }
            Request::Unsubscribe(unsubscription) => {
                let user_properties = user_properties_of(&unsubscription.user_properties);
                let unsubscribe = mqtt::Unsubscribe {
                    packet_id,
                    user_properties: user_properties.as_ref(),
                    filters: unsubscription.filters.iter().map(String::as_str).collect(),
                };
                unsubscribe.encode(version, out);
            }
        }
    }
}

impl Subscription {
    /// One filter with everything else at its default.
    pub fn new(filter: impl Into<String>, qos: mqtt::QoS) -> Subscription {
        Subscription {
            filters: vec![(filter.into(), options_of(qos))],
            subscription_id: None,
            user_properties: Vec::new(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.filters.is_empty() {
            return Err(Refusal::NoFilter);
        }
        if let Some(id) = self.subscription_id.filter(|id| !(1..=SUBSCRIPTION_ID_MAX).contains(id)) {
            return Err(Refusal::SubscriptionId(id));
        }
        self.filters.iter().try_for_each(|(filter, _)| check_filter(filter))?;
        check_user_properties(&self.user_properties)
    }
}

impl Unsubscription {
    pub fn new(filter: impl Into<String>) -> Unsubscription {
        Unsubscription { filters: vec![filter.into()], user_properties: Vec::new() }
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.filters.is_empty() {
            return Err(Refusal::NoFilter);
        }
        self.filters.iter().try_for_each(|filter| check_filter(filter))?;
        check_user_properties(&self.user_properties)
    }
}

fn options_of(qos: mqtt::QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: mqtt::RetainHandling::Send,
    }
}

fn check_filter(filter: &str) -> Result<(), Refusal> {
    check_string("topic filter", filter)?;
    let inner = match shared_filter(filter) {
        Ok(Some(shared)) => shared.filter,
        Ok(None) => filter,
        Err(_) => return Err(Refusal::TopicFilter(filter.to_owned())),
    };
    if is_topic_filter(inner) { Ok(()) } else { Err(Refusal::TopicFilter(filter.to_owned())) }
}
