//! What a world is like: how many clients do what how often, how slow and how narrow everything is.

use std::time::Duration;

use shard::{Config, DoorConfig, Limits, Pieces, QueueFull, Sampling};

use crate::{profile::Profile, random::Random};

/// How likely each thing is that a client can choose to do.
#[derive(Debug, Clone)]
pub struct Weights {
    pub publish: u64,
    pub subscribe: u64,
    pub unsubscribe: u64,
    pub ping: u64,
    pub disconnect: u64,
    pub cut: u64,
    pub takeover: u64,
    pub stall: u64,
    pub silence: u64,
    pub kick: u64,
}

/// How likely a client does what it does in one way and not in the other, in percent.
#[derive(Debug, Clone)]
pub struct Chances {
    pub connect: u64,
    pub persistent: u64,
    pub clean: u64,
    pub will: u64,
    pub retain: u64,
    pub expiring: u64,
    pub shared: u64,
    pub large_payloads: u64,
    pub small_packets: u64,
    pub small_receive_maximum: u64,
    pub slow_acks: u64,
}

/// How long things are under way, and how many fit.
#[derive(Debug, Clone)]
pub struct Network {
    pub mail_delay_us_max: u64,
    pub ring_capacity: (u64, u64),
    pub wire_delay_us_max: u64,
    pub down_room: (u64, u64),
    /// How long a shard keeps what it can send.
    pub tick_us_max: u64,
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub clients: usize,
    /// How long clients act, in virtual time.
    pub acting: Duration,
    pub pause_us_max: u64,
    pub away_us_max: u64,
    pub weights: Weights,
    pub chances: Chances,
    pub will_delay_s_max: u32,
    pub session_expiry_s_max: u32,
    pub strangers: bool,
    pub network: Network,
    pub connections_max: usize,
    /// In one SUBSCRIBE or UNSUBSCRIBE.
    pub filters_max: (u64, u64),
    pub config: Config,
    pub queues_are_small: bool,
    pub has_drain: bool,
    /// How long until a shard is told something else about what clients may do. Zero: it never is.
    pub renewal_us_max: u64,
    /// How long somebody thinks about who a client is, where somebody is asked.
    pub answer_us_max: u64,
    pub store: Option<StoreSettings>,
}

/// How disks are and how often the broker crashes.
#[derive(Debug, Clone, Copy)]
pub struct StoreSettings {
    pub segment_bytes: u32,
    pub disk_us_max: u64,
    pub crash_us_max: u64,
    /// In percent: at the beginning of a write, within it, and when it is done.
    pub crash_at_write: u64,
    pub down_us_max: u64,
    /// Each write is on disk before it counts as stored.
    pub is_synced: bool,
    /// How long there is no space for a file, and how long there is some. Zero: there always is.
    pub space_us_max: u64,
    /// How long until a write fails. Zero: none does.
    pub failure_us_max: u64,
    /// How long the broker goes on without its store. Zero: it ends at once.
    pub serving_us_max: u64,
}

impl Weights {
    /// Nobody breaks anything.
    const CALM: Weights = Weights {
        publish: 60,
        subscribe: 15,
        unsubscribe: 5,
        ping: 4,
        disconnect: 1,
        cut: 0,
        takeover: 0,
        stall: 0,
        silence: 0,
        kick: 0,
    };
}

impl Chances {
    const CALM: Chances = Chances {
        connect: 70,
        persistent: 70,
        clean: 15,
        will: 20,
        retain: 15,
        expiring: 5,
        shared: 10,
        large_payloads: 3,
        small_packets: 0,
        small_receive_maximum: 20,
        slow_acks: 10,
    };
}

impl Network {
    const CALM: Network = Network {
        mail_delay_us_max: 3_000,
        ring_capacity: (64, 256),
        wire_delay_us_max: 3_000,
        down_room: (2_000, 60_000),
        tick_us_max: 50,
    };
}

impl Settings {
    pub fn draw(profile: Profile, shards: u8, random: &mut Random) -> Settings {
        if let Some(around) = profile.around() {
            let mut settings = Settings::draw(around, shards, random);
            settings.make_durable(random);
            match profile {
                Profile::DurableSpill => settings.make_spill(random),
                Profile::DurableRestarts => settings.make_restless(),
                Profile::DurableBrief => settings.make_brief(),
                Profile::DurableFull => settings.make_full(),
                Profile::DurableFailing => settings.make_failing(random),
                Profile::DurableWritten => settings.make_written(),
                _ => {}
            }
            return settings;
        }
        let mut settings = Settings::calm(shards, random);
        settings.make(profile, random);
        settings
    }

    fn make(&mut self, profile: Profile, random: &mut Random) {
        match profile {
            Profile::Calm => {}
            Profile::Chaos => self.make_chaotic(random),
            Profile::TinyMesh => self.make_narrow(random),
            Profile::SlowReaders => self.make_slow(random),
            Profile::Shared => {
                self.chances.shared = 80;
                self.weights.cut = 3;
                self.weights.disconnect = 3;
                self.weights.takeover = 1;
            }
            Profile::Wills => self.make_mortal(),
            Profile::Cuts => self.make_cut(),
            Profile::Retained => self.make_retaining(random),
            Profile::Accounts => self.make_accountable(random),
            Profile::Congested => self.make_congested(),
            Profile::Drain => {
                self.make_chaotic(random);
                self.has_drain = true;
            }
            Profile::Renewals => self.make_renewed(random),
            Profile::Pieces => self.make_piecemeal(random),
            Profile::Changes => self.make_changing(random),
            _ => unreachable!("the others are around a store"),
        }
    }

    fn calm(shards: u8, random: &mut Random) -> Settings {
        // Drawn in this order: a seed is to mean the same world for ever.
        let config = calm_config(shards, random);
        Settings {
            clients: random.between(4, 10) as usize,
            acting: Duration::from_secs(20),
            pause_us_max: 400_000,
            away_us_max: 2_000_000,
            weights: Weights::CALM,
            chances: Chances::CALM,
            will_delay_s_max: 3,
            session_expiry_s_max: 60,
            strangers: false,
            network: Network::CALM,
            connections_max: 1000,
            filters_max: (3, 1),
            config,
            queues_are_small: false,
            has_drain: false,
            renewal_us_max: 0,
            answer_us_max: 0,
            store: None,
        }
    }

    fn make_narrow(&mut self, random: &mut Random) {
        self.make_chaotic(random);
        self.network.ring_capacity = (1, 3);
        self.network.mail_delay_us_max = 50_000;
        self.queues_are_small = false;
        self.config.limits = Limits { session_expiry_s_v3: 60, ..Limits::default() };
    }

    fn make_slow(&mut self, random: &mut Random) {
        self.weights.stall = 10;
        self.network.down_room = (16, 400);
        self.chances.slow_acks = 60;
        self.chances.small_receive_maximum = 50;
        self.make_queues_small(random);
    }

    fn make_mortal(&mut self) {
        (self.chances.will, self.will_delay_s_max, self.chances.expiring) = (80, 8, 30);
        (self.weights.cut, self.weights.disconnect) = (6, 6);
        self.weights.takeover = 2;
        self.away_us_max = 12_000_000;
        self.acting = Duration::from_secs(90);
        self.session_expiry_s_max = 10;
        self.config.limits.session_expiry_s_v3 = 10;
    }

    fn make_cut(&mut self) {
        (self.weights.cut, self.weights.takeover) = (15, 5);
        self.chances.persistent = 90;
        self.session_expiry_s_max = 600;
        self.config.limits.session_expiry_s_v3 = 600;
        self.away_us_max = 300_000;
    }

    fn make_retaining(&mut self, random: &mut Random) {
        self.chances.retain = 70;
        self.weights.subscribe = 30;
        self.weights.unsubscribe = 15;
        self.weights.cut = 2;
        self.network.mail_delay_us_max = 100_000;
        if random.percent(20) {
            self.config.limits.retained_messages_max = random.between(1, 12) as usize;
        }
    }

    fn make_accountable(&mut self, random: &mut Random) {
        (self.weights.subscribe, self.weights.unsubscribe, self.weights.cut) = (3, 0, 4);
        (self.chances.shared, self.chances.retain, self.chances.will, self.chances.expiring) = (0, 0, 0, 0);
        (self.chances.persistent, self.chances.clean) = (100, 0);
        (self.chances.slow_acks, self.chances.small_receive_maximum) = (70, 70);
        self.session_expiry_s_max = 600;
        self.config.limits.session_expiry_s_v3 = 600;
        self.config.limits.inflight_max = random.between(1, 5) as u16;
        self.away_us_max = 500_000;
    }

    fn make_congested(&mut self) {
        (self.weights.subscribe, self.weights.cut) = (3, 1);
        self.clients = 5;
        self.acting = Duration::from_secs(2);
        self.pause_us_max = 6_000;
        self.away_us_max = 100_000;
        self.network.ring_capacity = (1, 4);
        self.network.mail_delay_us_max = 40_000;
        self.session_expiry_s_max = 600;
        self.config.limits.session_expiry_s_v3 = 600;
    }

    fn make_chaotic(&mut self, random: &mut Random) {
        let weights = &mut self.weights;
        (weights.cut, weights.takeover, weights.stall) = (5, 3, 3);
        (weights.disconnect, weights.silence, weights.kick) = (4, 1, 1);
        self.chances.slow_acks = 40;
        self.chances.small_packets = 10;
        self.chances.small_receive_maximum = 40;
        self.strangers = true;
        self.network.mail_delay_us_max = 100_000;
        self.network.ring_capacity = if random.percent(30) { (2, 8) } else { (8, 200) };
        self.network.wire_delay_us_max = 30_000;
        self.network.tick_us_max = 2_000;
        self.network.down_room = (30, 5_000);
        self.chances.expiring = 15;
        self.session_expiry_s_max = if random.percent(50) { 5 } else { 120 };
        if random.percent(30) {
            self.connections_max = self.clients;
        }
        if random.percent(50) {
            self.make_queues_small(random);
        }
    }

    fn make_renewed(&mut self, random: &mut Random) {
        (self.weights.cut, self.weights.takeover, self.weights.disconnect) = (4, 3, 3);
        (self.chances.will, self.will_delay_s_max) = (40, 5);
        (self.chances.retain, self.session_expiry_s_max) = (25, 120);
        self.config.limits.session_expiry_s_v3 = 120;
        self.renewal_us_max = *random.pick(&[20_000, 300_000, 2_000_000]);
        let asks = random.percent(70);
        self.answer_us_max = *random.pick(&[0, 1_000, 100_000]);
        self.config.doors = vec![DoorConfig { asks, ..DoorConfig::default() }];
    }

    fn make_piecemeal(&mut self, random: &mut Random) {
        self.make_chaotic(random);
        self.make_queues_small(random);
        let limits = &mut self.config.limits;
        limits.queued_messages_max = random.between(5, 40) as u32;
        limits.subscriptions_max = 10_000;
        limits.session_expiry_s_v3 = 3;
        self.config.pieces = Pieces {
            expiry_looks: random.between(1, 4) as usize,
            filter_bytes: random.between(1, 400) as usize,
            unsent_packets: random.between(1, 20) as usize,
            ..Pieces::default()
        };
        (self.weights.subscribe, self.weights.unsubscribe) = (30, 3);
        (self.weights.cut, self.weights.takeover, self.weights.disconnect) = (6, 4, 6);
        (self.chances.shared, self.chances.expiring, self.chances.clean) = (30, 50, 40);
        self.session_expiry_s_max = 3;
        self.away_us_max = 4_000_000;
    }

    fn make_changing(&mut self, random: &mut Random) {
        self.make_chaotic(random);
        if random.percent(70) {
            self.config.limits.subscriptions_max = 10_000;
        }
        // A filter costs 400 or so.
        self.config.pieces = Pieces {
            change_bytes: random.between(1, 1500) as usize,
            own_change_bytes: *random.pick(&[1, 500, 1500]),
            ..Pieces::default()
        };
        (self.weights.subscribe, self.weights.unsubscribe) = (25, 20);
        self.filters_max = (12, 12);
        (self.chances.shared, self.chances.retain, self.chances.will) = (25, 30, 40);
        self.away_us_max = 500_000;
    }

    fn make_durable(&mut self, random: &mut Random) {
        let blocks = random.between(9, 16) as u32;
        let is_often = random.percent(30);
        self.store = Some(StoreSettings {
            segment_bytes: blocks * shard::store::log::BLOCK_BYTES,
            disk_us_max: *random.pick(&[500, 5_000, 50_000, 200_000]),
            crash_us_max: self.acting.as_micros() as u64 / if is_often { 8 } else { 2 },
            crash_at_write: if random.percent(30) { 2 } else { 0 },
            down_us_max: *random.pick(&[1_000, 100_000, 3_000_000]),
            is_synced: true,
            space_us_max: 0,
            failure_us_max: 0,
            serving_us_max: 0,
        });
        if self.chances.shared < 50 && random.percent(50) {
            self.chances.shared = 0;
        }
        self.session_expiry_s_max = self.session_expiry_s_max.max(8);
        self.chances.persistent = self.chances.persistent.max(80);
    }

    /// Little of a queue is in memory, clients are long away and slow, and segments are given up under what is read back.
    fn make_spill(&mut self, random: &mut Random) {
        let limits = &mut self.config.limits;
        limits.queue_window_bytes = *random.pick(&[0, 60, 400, 3_000]);
        limits.inflight_max = random.between(1, 6) as u16;
        if random.percent(30) {
            limits.queue_memory_max = random.between(2_000, 20_000) as usize;
            self.queues_are_small = true;
        }
        (self.weights.cut, self.weights.takeover, self.weights.stall) = (5, 3, 2);
        (self.chances.slow_acks, self.chances.small_receive_maximum) = (60, 50);
        self.away_us_max = 3_000_000;
        self.chances.large_payloads = 10;
        self.network.down_room = (200, 4_000);
    }

    /// A shard asks for a megabyte of room, so that segments are larger here. What is refused is not retained either.
    fn make_full(&mut self) {
        self.config.limits.packet_bytes_max = 16 << 10;
        self.chances.retain = 0;
        (self.pause_us_max, self.acting) = (100_000, Duration::from_secs(10));
        self.clients = 5;
        self.weights.cut = 3;
        let store = self.store.as_mut().expect("this world has a store");
        store.segment_bytes = 1200 << 10;
        store.space_us_max = 6_000_000;
        store.disk_us_max = store.disk_us_max.min(5_000);
    }

    /// What is refused is not retained either.
    fn make_failing(&mut self, random: &mut Random) {
        self.chances.retain = 0;
        (self.weights.cut, self.weights.takeover) = (3, 1);
        let store = self.store.as_mut().expect("this world has a store");
        store.crash_us_max = self.acting.as_micros() as u64;
        store.failure_us_max = 3_000_000;
        store.serving_us_max = *random.pick(&[0, 20_000, 3_000_000]);
    }

    fn make_written(&mut self) {
        let store = self.store.as_mut().expect("this world has a store");
        store.is_synced = false;
        store.segment_bytes = SMALLEST_SEGMENT_BYTES;
    }

    /// It crashes before it has given up much, again and again, and also before it is ready.
    fn make_restless(&mut self) {
        let store = self.store.as_mut().expect("this world has a store");
        store.segment_bytes = SMALLEST_SEGMENT_BYTES;
        store.crash_us_max = 600_000;
        store.down_us_max = 1_000;
        store.crash_at_write = 1;
    }

    /// Few clients in a hurry, and a log that gives up segments all the same.
    fn make_brief(&mut self) {
        self.clients = 3;
        self.acting = Duration::from_millis(250);
        self.pause_us_max = 40_000;
        self.away_us_max = 20_000;
        (self.weights.cut, self.weights.takeover) = (8, 3);
        (self.session_expiry_s_max, self.config.limits.session_expiry_s_v3) = (60, 60);
        self.chances.large_payloads = 0;
        let store = self.store.as_mut().expect("this world has a store");
        store.segment_bytes = SMALLEST_SEGMENT_BYTES;
        (store.disk_us_max, store.down_us_max) = (3_000, 1_000);
        store.crash_us_max = 200_000;
    }

    fn make_queues_small(&mut self, random: &mut Random) {
        self.queues_are_small = true;
        let limits = &mut self.config.limits;
        limits.queued_messages_max = random.between(2, 20) as u32;
        limits.inflight_max = random.between(1, 8) as u16;
        limits.queue_full = if random.percent(50) { QueueFull::DropNewest } else { QueueFull::DropOldest };
        limits.receive_maximum = random.between(1, 20) as u16;
        limits.topic_alias_max = random.below(4) as u16;
        if random.percent(30) {
            limits.outbox_bytes_max = random.between(200, 5_000) as usize;
        }
        if random.percent(30) {
            limits.queued_bytes_max = random.between(200, 4_000) as usize;
        }
        if random.percent(30) {
            limits.queue_memory_max = random.between(2_000, 20_000) as usize;
        }
        if random.percent(30) {
            limits.subscriptions_max = random.between(1, 8) as u32;
        }
        self.config.queue_qos0 = random.percent(50);
    }
}

/// The broker's own configuration: one run in three follows messages.
fn calm_config(shards: u8, random: &mut Random) -> Config {
    let placement_seed = random.next();
    let sampling = Sampling { one_in: 4, follows_parent: true };
    Config {
        shards,
        placement_seed,
        sampling: placement_seed.is_multiple_of(3).then_some(sampling),
        limits: Limits { session_expiry_s_v3: 60, ..Limits::default() },
        ..Config::default()
    }
}

/// The largest record of a run just fits.
const SMALLEST_SEGMENT_BYTES: u32 = 5 * shard::store::log::BLOCK_BYTES;
