//! Holds connections to their rates: who sends too much is not read for a while or disconnected, who gets too much is sent later.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use mqtt::ReasonCode;

use crate::{
    ConnId, Instant, Reading, Shard, What,
    connection::{Connection, Stage},
    ending::WillFate,
    meters::{Meters, Pass, Whose},
    rate_counters::{ended_mut, waited_mut},
    rates::{DoorRates, Flow, Over, Rates},
    shard::Deadline,
    turn::Turn,
};

impl Shard {
    /// Other rates from now on.
    pub(crate) fn handle_rates(&mut self, rates: Arc<[DoorRates]>, turn: &mut Turn<'_>) {
        self.config.rates = rates;
        self.spending.forget_all();
        self.meter_all(turn);
    }

    pub(crate) fn meter_all(&mut self, turn: &mut Turn<'_>) {
        for conn in self.connections.ids() {
            let Some(connection) = self.connections.get(conn) else { continue };
            let (is_throttled, is_held_back) = (connection.is_throttled(), connection.is_held_back());
            self.meter(conn);
            if let Some(meters) = self.connections.get_mut(conn).and_then(Connection::meters_mut) {
                meters.forgive(turn.now);
            }
            if is_throttled {
                self.on_rate_deadline(conn, turn);
            }
            if is_held_back {
                self.on_delivery_deadline(conn, turn);
            }
        }
    }

    /// Finds the rates of a connected client. What it has used of its own stays used.
    pub(crate) fn meter(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get(conn) else { return };
        let Some(session) = connection.session() else { return };
        let standing = connection.standing.as_ref().filter(|_| self.permissions.is_some());
        let held = standing.and_then(|standing| standing.held.as_ref());
        let role = held.map(|held| Rates::from(held.limits())).unwrap_or_default();
        let meters = match self.config.rates.get(usize::from(connection.door)) {
            Some(door) => Meters::new(door, role, self.grant_of(conn).map(|grant| &**grant)),
            None if role.are_open() => None,
            None => Meters::new(&DoorRates::default(), role, None),
        };
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if meters.is_none() && connection.meters().is_none() {
            return;
        }
        let standing = connection.standing.get_or_insert_default();
        let before = standing.meters.take();
        standing.meters = meters.map(|mut meters| {
            match &before {
                Some(before) => meters.go_on_from(before),
                None => {
                    meters.client = self.spending.hash(&self.sessions[session].client_id);
                    meters.spent = self.spending.take(meters.client).unwrap_or_default();
                }
            }
            Box::new(meters)
        });
    }

    /// The connection of a client ends. To come back is no way to have more.
    pub(crate) fn keep_spent(&mut self, conn: ConnId, now: Instant) {
        if let Some(meters) = self.connections.get(conn).and_then(Connection::meters) {
            self.spending.keep(meters.client, &meters.spent, now);
        }
    }

    /// What an event has brought is paid for. If there is more of it than may be, something is done about it.
    pub(crate) fn settle(&mut self, conn: ConnId, pass: &Pass, turn: &mut Turn<'_>) {
        let lull = self.lull();
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let stage = connection.stage;
        let Some(meters) = connection.meters_mut() else { return };
        meters.settle(pass, turn.now);
        if stage == Stage::Closing {
            // One of the packets has ended it before all of them were paid for.
            return self.keep_spent(conn, turn.now);
        }
        let Some(flow) = pass.over.filter(|_| !meters.is_leaving) else { return };
        let exceeded = meters.exceeded(flow, turn.now).filter(|_| meters.over == Over::Disconnect);
        if let Some((whose, rate)) = exceeded {
            return self.end_for_rate(conn, flow, (whose, rate), turn);
        }
        let flows = [Flow::PublishMessages, Flow::PublishBytes];
        let free_at = meters.free_at(flows, lull.min(meters.burst_ns() / 2), turn.now);
        let until = free_at.unwrap_or(turn.now).min(turn.now.add_secs(RATE_LOOK_S));
        meters.throttle(turn.now, until);
        if let Some((whose, flow, _)) = meters.awaited(&[flow]) {
            *waited_mut(&mut self.counters, whose, flow) += 1;
        }
        self.timers.insert(until.max(turn.next_instant()), Deadline::Rate(conn));
        // It may have to wait for long, and shall not keep its place meanwhile if it has gone.
        self.stop_reading(conn, Reading::Watched, turn);
    }

    fn end_for_rate(
        &mut self,
        conn: ConnId,
        flow: Flow,
        (whose, rate): (Whose, NonZeroU64),
        turn: &mut Turn<'_>,
    ) {
        if let Some(count) = ended_mut(&mut self.counters, whose, flow) {
            *count += 1;
        }
        let (reason, why) = match flow {
            Flow::PublishMessages | Flow::ReceiveMessages => {
                (ReasonCode::MessageRateTooHigh, "more messages than the rate allows")
            }
            Flow::PublishBytes | Flow::ReceiveBytes => {
                (ReasonCode::QuotaExceeded, "more bytes than the rate allows")
            }
        };
        let place = self.place_of_rate(conn, flow, whose, rate);
        let what = What::Disconnected { reason, why: format!("{why}: {place}").into() };
        self.end_connection(conn, Some((reason, why)), what, WillFate::Publish, turn);
    }

    /// What sets a rate, for the log: a role, with its file and line, or a key that holds at the listener.
    fn place_of_rate(&self, conn: ConnId, flow: Flow, whose: Whose, rate: NonZeroU64) -> String {
        let connection = self.connections.get(conn).filter(|_| whose == Whose::Client);
        let standing = connection.and_then(|connection| connection.standing.as_ref());
        let held = standing.and_then(|standing| standing.held.as_ref());
        if let Some(place) = held.and_then(|held| held.limit_place(flow.limit())) {
            return place.to_string();
        }
        let door = self.connections.get(conn).and_then(|connection| self.config.door(connection.door));
        let listener = door.map_or("", |door| &*door.name);
        format!("{}_{} = {rate} at {listener}", whose.word(), flow.limit().word())
    }

    /// The client may be read again.
    pub(crate) fn on_rate_deadline(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if let Some(meters) = connection.meters_mut() {
            meters.is_throttled = false;
        }
        self.resume(conn, turn);
    }

    /// A message of so many bytes goes to the client.
    pub(crate) fn pay_delivery(&mut self, conn: ConnId, bytes: usize, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Some(meters) = connection.meters_mut() else { return };
        meters.charge(Flow::ReceiveMessages, 1, now);
        meters.charge(Flow::ReceiveBytes, bytes as u64, now);
        self.hold_back_delivery(conn, now);
    }

    /// Where nothing is left of a rate, the next message waits until there is.
    fn hold_back_delivery(&mut self, conn: ConnId, now: Instant) {
        let lull = self.lull();
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Some(meters) = connection.meters_mut() else { return };
        let flows = [Flow::ReceiveMessages, Flow::ReceiveBytes];
        let Some(free_at) = meters.free_at(flows, lull.min(meters.burst_ns() / 2), now) else { return };
        if !std::mem::replace(&mut meters.is_held_back, true) {
            if let Some((whose, flow, _)) = meters.awaited(&flows) {
                *waited_mut(&mut self.counters, whose, flow) += 1;
            }
            self.timers.insert(free_at.min(now.add_secs(RATE_LOOK_S)), Deadline::Delivery(conn));
        }
    }

    /// The client may be sent messages again, unless others have used up what there was.
    pub(crate) fn on_delivery_deadline(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if let Some(meters) = connection.meters_mut() {
            meters.is_held_back = false;
        }
        self.hold_back_delivery(conn, turn.now);
        let connection = self.connections.get(conn).filter(|connection| !connection.is_held_back());
        if let Some(session) = connection.and_then(|connection| connection.session()) {
            self.pump(session, turn);
        }
    }

    /// A client that may send thousands in a second does not need a timer for each of them. Where many wait, each is looked at less often.
    fn lull(&self) -> u64 {
        LULL_NS.saturating_mul(1 + self.stalled.len() as u64 / CROWD)
    }
}

/// The least time that somebody waits whose rate is used up.
const LULL_NS: u64 = Duration::from_millis(20).as_nanos() as u64;

/// So many clients that wait make the time once longer.
const CROWD: u64 = 64;

/// None reaches far ahead: what is left of connections that are gone is over soon.
const RATE_LOOK_S: u64 = 60;
