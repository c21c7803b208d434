//! What simulated clients decide to do, by chance and by the weights of the profile.

use mqtt::{QoS, RetainHandling, SubscriptionOptions, Version};
use shard::{Event, Instant};

use crate::{
    agenda::Action,
    client::{ConnectPlan, Phase as ClientPhase},
    fault::Fault,
    said::{Content, Properties},
    world::{Phase, World},
};

impl World {
    /// A client's turn. It plans its next one itself.
    pub fn act(&mut self, client: usize) {
        let phase = self.clients[client].phase;
        match (self.phase, phase) {
            (Phase::Leaving, _) => return,
            (_, ClientPhase::Connecting) => self.act_connecting(client),
            (Phase::Acting, ClientPhase::Offline) => {
                if self.random.percent(self.settings.chances.connect) {
                    let plan = self.draw_connect(client);
                    self.connect(client, &plan);
                }
            }
            (Phase::Acting, ClientPhase::Online) => self.act_online(client),
            (Phase::Resting, ClientPhase::Offline) => self.come_back(client),
            (Phase::Resting, ClientPhase::Online) => self.stay(client),
        }
        self.write_out(client);
        let us_max = match (self.phase, self.clients[client].phase) {
            (Phase::Acting, ClientPhase::Offline) => self.settings.away_us_max,
            (Phase::Acting, _) => self.settings.pause_us_max,
            _ => 300_000,
        };
        let delay = std::time::Duration::from_micros(self.random.below(us_max) + 1);
        self.agenda.plan(self.now + delay, Action::Act(client));
    }

    fn act_connecting(&mut self, client: usize) {
        if self.phase != Phase::Acting {
            return;
        }
        match self.random.below(100) {
            0..5 => self.cut_if_allowed(client),
            // [MQTT-3.1.4-5] Clients may send packets before they get CONNACK.
            5..15 if self.clients[client].outbound.is_empty() => self.publish(client),
            _ => {}
        }
    }

    fn cut_if_allowed(&mut self, client: usize) {
        if self.settings.weights.cut > 0 {
            self.cut(client);
        }
    }

    fn act_online(&mut self, client: usize) {
        if self.clients[client].is_silent {
            return;
        }
        let w = self.settings.weights.clone();
        let weights = [
            w.publish,
            w.subscribe,
            w.unsubscribe,
            w.ping,
            w.disconnect,
            w.cut,
            w.takeover,
            w.stall,
            w.silence,
            w.kick,
        ];
        match self.random.weighted(&weights) {
            0 => self.publish(client),
            1 => self.subscribe(client),
            2 => self.unsubscribe(client),
            3 => self.clients[client].ping(),
            4 => self.disconnect(client),
            5 => self.cut(client),
            6 => {
                let plan = self.draw_connect(client);
                self.connect(client, &plan);
            }
            7 => self.stall(client),
            8 => self.clients[client].is_silent = self.clients[client].keep_alive_s > 0,
            _ => self.kick(client),
        }
    }

    fn draw_connect(&mut self, client: usize) -> ConnectPlan {
        let settings = self.settings.clone();
        let version = self.clients[client].version;
        let random = &mut self.random;
        let is_persistent = random.percent(settings.chances.persistent);
        let is_clean = random.percent(if is_persistent { settings.chances.clean } else { 60 });
        let clean_start = is_clean || self.clients[client].must_clean;
        let session_expiry_s = match version {
            Version::V5 if is_persistent => {
                random.between(1, u64::from(settings.session_expiry_s_max)) as u32
            }
            Version::V5 => 0,
            // [MQTT-3.1.3-7] In 3.x clean session 1 ends the session with the connection.
            _ if clean_start => 0,
            _ => settings.config.limits.session_expiry_s_v3,
        };
        let is_small = random.percent(settings.chances.small_packets);
        let mut plan = ConnectPlan {
            clean_start,
            // Long enough for a client that acts now and then.
            keep_alive_s: *random.pick(&[0, 3, 10, 60]),
            session_expiry_s,
            receive_maximum: random
                .percent(settings.chances.small_receive_maximum)
                .then(|| random.between(1, 5) as u16),
            maximum_packet_size: is_small.then(|| random.between(60, 400) as u32),
            topic_alias_maximum: random.below(6) as u16,
            will: None,
        };
        if self.random.percent(settings.chances.will) {
            let mut content = self.draw_content(client);
            content.is_will = true;
            content.is_empty = false;
            let delay_s = if self.random.percent(50) { 0 } else { self.settings.will_delay_s_max };
            plan.will = Some((content, self.random.between(0, u64::from(delay_s)) as u32));
        }
        self.clients[client].acks_are_slow = self.random.percent(settings.chances.slow_acks);
        plan
    }

    fn draw_content(&mut self, client: usize) -> Content {
        let is_v5 = self.clients[client].version == Version::V5;
        let settings = &self.settings;
        let random = &mut self.random;
        let retain = random.percent(settings.chances.retain);
        let properties =
            if is_v5 && random.percent(30) { draw_properties(random) } else { Properties::default() };
        let padding = if random.percent(settings.chances.large_payloads) {
            random.between(4000, 9000)
        } else {
            random.skewed(60)
        };
        let expiry_s =
            (is_v5 && random.percent(settings.chances.expiring)).then(|| random.between(1, 10) as u32);
        Content {
            author: client,
            topic: (*random.pick(TOPICS)).to_owned(),
            qos: *random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]),
            retain,
            is_empty: retain && random.percent(20),
            padding: padding as usize,
            expiry_s,
            properties,
            is_will: false,
        }
    }

    pub(crate) fn publish(&mut self, client: usize) {
        // A client that goes beyond the broker's receive maximum is a stranger.
        let limit = usize::from(self.clients[client].server.receive_maximum).min(OUTBOUND_MAX);
        for _ in 0..self.random.between(1, 4) {
            if self.clients[client].outbound.len() >= limit {
                break;
            }
            let content = self.draw_content(client);
            let use_alias = self.clients[client].phase == ClientPhase::Online && self.random.percent(40);
            self.clients[client].publish(content, use_alias, &mut self.ledger);
            if self.clients[client].phase == ClientPhase::Connecting {
                break;
            }
        }
    }

    fn subscribe(&mut self, client: usize) {
        let mut filters: Vec<(String, SubscriptionOptions)> = Vec::new();
        for _ in 0..self.random.between(1, self.settings.filters_max.0) {
            let mut filter = (*self.random.pick(FILTERS)).to_owned();
            let is_shared = self.random.percent(self.settings.chances.shared);
            if is_shared {
                filter = format!("$share/{}/{filter}", self.random.pick(&["g", "h"]));
            }
            if filters.iter().any(|(known, _)| *known == filter) {
                continue;
            }
            let random = &mut self.random;
            let options = SubscriptionOptions {
                qos: *random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce]),
                // [MQTT-3.8.3-4] No-local on a shared subscription is a protocol error.
                no_local: !is_shared && random.percent(15),
                retain_as_published: random.percent(25),
                retain_handling: *random.pick(&[
                    RetainHandling::Send,
                    RetainHandling::Send,
                    RetainHandling::SendIfNew,
                    RetainHandling::DoNotSend,
                ]),
            };
            filters.push((filter, options));
        }
        let subscription_id = self.random.percent(60).then(|| self.random.between(1, 300) as u32);
        self.clients[client].subscribe(subscription_id, filters);
    }

    fn unsubscribe(&mut self, client: usize) {
        let mut filters = vec![self.filter_to_leave(client)];
        if self.settings.filters_max.1 > 1 {
            for _ in 1..self.random.between(1, self.settings.filters_max.1) {
                filters.push(self.filter_to_leave(client));
            }
            filters.sort_unstable();
            filters.dedup();
        }
        self.clients[client].unsubscribe(filters);
    }

    fn filter_to_leave(&mut self, client: usize) -> String {
        let known = &self.clients[client].filters;
        match known.is_empty() {
            true => (*self.random.pick(FILTERS)).to_owned(),
            false => self.random.pick(known).clone(),
        }
    }

    fn disconnect(&mut self, client: usize) {
        let with_will = self.random.percent(20);
        let expiry = self.clients[client].session_expiry_s;
        // [MQTT-3.14.2-2] An expiry of 0 cannot be raised at the end.
        let new_expiry = (expiry > 0 && self.random.percent(30))
            .then(|| self.random.below(u64::from(self.settings.session_expiry_s_max) + 1) as u32);
        self.clients[client].disconnect(with_will, new_expiry);
    }

    /// Stops or resumes reading.
    fn stall(&mut self, client: usize) {
        let Some(socket) = self.clients[client].socket else { return };
        self.sockets[socket].stalled = !self.sockets[socket].stalled;
        self.plan_read(socket);
    }

    fn kick(&mut self, client: usize) {
        let Some(socket) = self.clients[client].socket else { return };
        let Some((core, conn)) = self.sockets[socket].on() else { return };
        self.ledger.on_kick(socket);
        self.handle(core, Event::Kick { conn, reason: mqtt::ReasonCode::AdministrativeAction });
    }

    /// At rest: back to the session, to get what is left there.
    fn come_back(&mut self, client: usize) {
        let mut plan = self.draw_connect(client);
        plan.will = None;
        plan.clean_start = self.clients[client].must_clean;
        plan.maximum_packet_size = None;
        plan.session_expiry_s = match self.clients[client].version {
            Version::V5 => 100,
            _ if plan.clean_start => 0,
            _ => self.settings.config.limits.session_expiry_s_v3,
        };
        self.clients[client].acks_are_slow = false;
        self.connect(client, &plan);
    }

    /// At rest: only what keeps a connection alive.
    fn stay(&mut self, client: usize) {
        if self.clients[client].keep_alive_s > 0 && self.random.percent(50) {
            self.clients[client].ping();
        }
        if self.fault == Some(Fault::CloseSecretly)
            && let Some(socket) = self.clients[client].socket
            && let Some((core, conn)) = self.sockets[socket].on()
        {
            self.handle(core, Event::Kick { conn, reason: mqtt::ReasonCode::AdministrativeAction });
        }
    }

    /// The time at which nothing that expires is left.
    pub fn end_of_all_expiry(&self) -> Instant {
        let longest =
            self.settings.session_expiry_s_max.max(self.settings.config.limits.session_expiry_s_v3).max(100);
        self.now.add_secs(u64::from(longest) + 30)
    }
}

fn draw_properties(random: &mut crate::random::Random) -> Properties {
    let mut text = |chance| random.percent(chance).then(|| format!("text-{}", random.below(100)));
    let (content_type, response_topic, correlation) = (text(50), text(50), text(50));
    let user = (0..random.below(3)).map(|n| (format!("name{n}"), "value".to_owned())).collect();
    Properties {
        payload_format: random.percent(30).then_some(1),
        content_type,
        response_topic,
        correlation_data: correlation.map(String::into_bytes),
        user,
    }
}

pub const TOPICS: &[&str] =
    &["a", "a/b", "a/b/c", "x/y", "x//y", "x/", "/", "t/1", "t/2", "long/enough/for/an/alias", "$dev/a"];

const FILTERS: &[&str] = &[
    "#",
    "+",
    "a",
    "a/#",
    "a/b",
    "+/b",
    "+/+",
    "a/+/c",
    "a/b/c",
    "x/#",
    "x/+/y",
    "x/+",
    "/",
    "+/",
    "t/+",
    "t/1",
    "t/2",
    "long/#",
    "long/enough/for/an/alias",
    "$dev/#",
    "$dev/+",
    "nobody/+/here",
];

/// A bound on what a client has open towards a broker that sets none.
const OUTBOUND_MAX: usize = 30;
