//! What the control thread wants of a shard: orders at once, questions when it is time for one.

use std::{net::SocketAddr, sync::Arc};

use shard::{Arrivals, Bans, ConnId, Event, Seen};

use super::{Worker, questions::Question};
use crate::{
    Timings,
    brain::Brain,
    control::{Command, Snapshot},
    desk::Looked,
};

impl<B: Brain> Worker<B> {
    pub(super) fn take_commands(&mut self) {
        // Those that come meanwhile have the next turn.
        for _ in 0..self.line.commands.len() {
            let Ok(command) = self.line.commands.try_recv() else { return };
            match command {
                Command::Listen(listeners) => self.port.listen(listeners),
                Command::Drain => {
                    self.port.stop_accepting();
                    self.tell(Event::Drain);
                }
                Command::Config(config, known) => {
                    self.tell(Event::Config(config));
                    // As below.
                    let _ = known.try_send(());
                }
                Command::Doors(doors) => self.port.hang(doors),
                Command::Delays(delays) => self.port.set_delays(delays),
                Command::Stop => self.is_stopped = true,
                Command::Revised(revision) => self.tell(Event::Revised(revision)),
                Command::Rules(rules) => self.tell(Event::Rules(rules)),
                Command::Rates(rates) => self.tell(Event::Rates(rates)),
                Command::Bans(bans) => self.ban(bans),
                Command::Snapshot(reply) => {
                    reply(self.snapshot());
                }
                Command::Look(look, asker, reply) => {
                    self.questions.add(Question { look, asker, reply }, self.now);
                }
                Command::Tap(order, reply) => {
                    // What went by in this turn is there, too.
                    self.name_tapped();
                    reply(self.brain.tap(self.now, &order));
                }
                Command::FreshLosses(reply) => reply(self.brain.take_fresh_losses(self.now)),
                Command::Act(act, reply) => {
                    let acted = self.brain.act(self.now, *act, &mut self.effects);
                    self.carry_out();
                    self.unsettled.push((acted, reply));
                }
            }
        }
    }

    /// Who has given an order hears of it when it is done for good.
    pub(super) fn tell_settled(&mut self) {
        let brain = &self.brain;
        for (acted, reply) in self.unsettled.extract_if(.., |(acted, _)| brain.is_settled(acted)) {
            reply(acted);
        }
    }

    pub(super) fn answer_one(&mut self) {
        let Some(Question { look, reply, .. }) = self.questions.next(self.now) else { return };
        let began = self.clock.now();
        let seen = self.brain.look(self.now, &look);
        let addresses = self.addresses(&seen);
        reply(Looked { seen, addresses, now: self.now });
        let ended = self.clock.now();
        self.questions.rest(ended, ended.since(began));
    }

    fn snapshot(&self) -> Snapshot {
        let Arrivals { crossing, crossed, .. } = self.brain.arrivals().clone();
        Snapshot {
            shard: self.id,
            counters: self.brain.counters().clone(),
            gauges: self.brain.gauges(),
            store_file_bytes: self.backend.as_ref().map_or(0, |backend| backend.file_bytes()),
            limits: self.brain.limits().clone(),
            timings: Box::new(Timings { crossing, crossed, ..self.timings.clone() }),
            mesh: self.mesh.depths(),
        }
    }

    /// Those whose packets went by may be gone since.
    pub(super) fn name_tapped(&mut self) {
        if self.brain.is_tapped() {
            let port = &mut self.port;
            self.brain.name_tapped(&mut |conn| {
                let address = port.address(conn)?;
                (!address.is_unknown()).then(|| address.into())
            });
        }
    }

    fn addresses(&mut self, seen: &Seen) -> Vec<(ConnId, SocketAddr)> {
        let held = seen.connections().filter_map(|conn| Some((conn, self.port.address(conn)?)));
        let known = held.filter(|(_, address)| !address.is_unknown());
        known.map(|(conn, address)| (conn, address.into())).collect()
    }

    /// Who is here and may not stay goes.
    fn ban(&mut self, bans: Arc<Bans>) {
        for (conn, ip) in self.port.set_bans(self.now, &bans.networks) {
            self.tell(Event::Barred { conn, ip });
        }
        self.tell(Event::Bans(bans));
    }
}
