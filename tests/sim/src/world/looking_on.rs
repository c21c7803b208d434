//! In most runs somebody looks on: what shards make for their clients at QoS 0 is counted as it is made, so that what no socket took is known
//! to the message. The others show that it matters to nobody whether somebody does.

use mqtt::{PacketKind, QoS};
use shard::{Detail, Direction, TapFilter, TapOrder};

use super::World;
use crate::{ledger::Oracle, random::Random};

/// Messages at QoS 0 on their way to clients: nobody sends them again.
#[derive(Debug, Default)]
pub struct Unkept {
    /// By shards, as far as somebody looks on.
    pub made: u64,
    /// To sockets.
    pub given: u64,
    /// Of those: how many a shard was told of that their socket did not take whole.
    pub untaken: u64,
}

impl World {
    /// What the seed chooses otherwise does not depend on it.
    pub(super) fn is_looked_on(seed: u64) -> bool {
        Random::new(seed ^ LOOKING_ON).percent(75)
    }

    /// Comes before each event: a tap that is read is not given up for want of a reader, and a shard that has begun anew has none.
    pub(super) fn look_on(&mut self, core: usize) {
        let now = self.shard_now();
        if self.looks_on && !self.cores[core].shard.tap(now, &TapOrder::Read { tap: TAP }).is_there {
            let order = TapOrder::Begin { tap: TAP, filter: TapFilter::default() };
            self.cores[core].shard.tap(now, &order);
        }
    }

    pub(super) fn count_made(&mut self, core: usize) {
        if !self.looks_on {
            return;
        }
        let now = self.shard_now();
        let shard = &mut self.cores[core].shard;
        shard.name_tapped(&mut |_| None);
        loop {
            let read = shard.tap(now, &TapOrder::Read { tap: TAP });
            let made = read.packets.iter().map(|tapped| &tapped.packet).filter(|packet| {
                let is_unkept = matches!(packet.detail, Detail::Publish { qos: QoS::AtMostOnce, .. });
                packet.direction == Direction::Sent && is_unkept
            });
            self.unkept.made += made.count() as u64;
            if !read.is_there || read.dropped > 0 {
                let what =
                    format!("shard {core}: a tap that is read after each event has lost {}", read.dropped);
                return self.ledger.fail(Oracle::Illegal, what);
            }
            if !read.has_more {
                return;
            }
        }
    }

    pub fn look_away(&mut self) {
        if std::mem::take(&mut self.looks_on) {
            let now = self.shard_now();
            for core in &mut self.cores {
                core.shard.tap(now, &TapOrder::End { tap: TAP });
            }
        }
    }

    /// How many no socket took. None: nobody has looked on.
    pub fn unkept_lost(&self) -> Option<u64> {
        let Unkept { made, given, untaken } = self.unkept;
        self.looks_on.then(|| {
            assert!(given <= made, "a shard gives a socket what it has made");
            made - given + untaken
        })
    }
}

/// Publications at QoS 0 whose last byte lies behind these.
pub(super) fn unkept_behind(bytes: &[u8], taken: usize) -> u64 {
    let (mut end, mut count) = (0, 0);
    while let Ok(Some(frame)) = mqtt::split(&bytes[end..], mqtt::MAX_PACKET_SIZE) {
        end += frame.size;
        let is_unkept = frame.kind == PacketKind::Publish && frame.flags & QOS_FLAGS == 0;
        count += u64::from(is_unkept && end > taken);
    }
    count
}

/// [MQTT-3.3.1-4] Those of the first byte of a PUBLISH.
const QOS_FLAGS: u8 = 0b0110;

const TAP: u64 = 1;

/// Whether somebody looks on is drawn apart.
const LOOKING_ON: u64 = 0x0B5E_44E5;
