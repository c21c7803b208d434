//! The broker for one core, as a pure state machine: events in, effects out.
//!
//! `Shard::handle` takes one event to completion. It reads no clock, touches no socket and never waits; the runtime
//! (or the simulator) brings the events and carries out the effects. Start at `shard.rs` for the loop over events,
//! at `event.rs` and `effect.rs` for the boundary, and at `router.rs` for the way of a PUBLISH.

#![forbid(unsafe_code)]

mod acknowledge;
mod act;
mod announce;
mod arrivals;
mod ask;
mod asking;
mod authors;
mod bans;
mod barred_networks;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod breaks;
mod bundle;
mod census;
mod changing;
mod clearing;
mod config;
mod confirm;
mod connect;
mod connection;
mod contests;
mod counters;
mod delivery;
mod departures;
mod drain;
mod effect;
mod ending;
mod event;
mod failure;
mod filter_limit;
mod filters;
mod fullness;
mod groups;
mod handshakes;
mod hashing;
mod histogram;
mod id;
mod keep;
mod keys;
mod latest;
mod leaving;
mod look;
mod looking;
mod losing;
mod losses;
mod mail;
mod message;
mod metering;
mod meters;
mod mount;
mod note;
mod outbound;
mod outgoing;
mod packet_ids;
mod pausing;
mod permission;
mod placement;
mod post;
mod prefixes;
mod pressure;
mod publish;
mod random;
mod rate_counters;
mod rates;
mod receive;
mod reconfiguring;
mod recorder;
mod recording;
mod refusals;
mod regranting;
mod renewing;
mod replay;
mod reporting;
mod restore;
mod retained;
mod review;
mod reviewing;
mod router;
mod routes;
mod session;
mod shard;
mod shares;
mod source;
mod span;
mod spanning;
mod spare;
mod spending;
mod spill;
mod standing;
pub mod store;
mod subscribe;
mod subscribers;
mod takers;
mod tap;
mod tapping;
mod time;
mod timers;
mod topic_tap;
mod totals;
mod trie;
mod turn;
mod unsent;
mod why;
mod wills;
mod withdrawals;

pub use access::{Network, Permits, Rules};
pub use act::{Act, Acted, Told};
pub use arrivals::Arrivals;
pub use ask::{Answer, Ask, CertificateId, Ended, Exchange, From, Grant, Revision, Rights};
pub use bans::Bans;
pub use barred_networks::BarredNetworks;
pub use bundle::{Bundle, Bundled, Errand};
pub use census::{Kept, KeptPart, Reached};
pub use config::{Config, DoorConfig, Limits, Pieces, QueueFull, Versions};
pub use confirm::Needs;
pub use contests::{ContestLimits, ContestPolicy};
pub use counters::{Counters, Gauges};
pub use effect::{Effect, Effects, Reading};
pub use ending::NETWORK_CLOSED;
pub use event::{Event, Full, NotOpened};
pub use filter_limit::FilterLimit;
pub use filters::share_name;
pub use fullness::StoreRoom;
pub use handshakes::Handshake;
pub use histogram::Histogram;
pub use id::{ConnId, SHARDS_MAX, ShardId, ShardSet};
pub use look::{
    BanSeen, BannedBy, BarredSeen, BreaksSeen, ClientLost, ClientSeen, ClientWhole, ComingsSeen, EndedSeen,
    FreshLoss, LastPackets, LeftSeen, Link, Look, Loss, Matching, OtherLosses, Page, PrefixLost, Presence,
    QueueSeen, RefusalSeen, RefusedSeen, Seen, SubscriptionSeen, Waiting,
};
pub use losses::{Cause, Side};
pub use mail::{Mail, Publication};
pub use message::Message;
pub use mqtt::{QoS, ReasonCode, Version, is_topic_filter, is_topic_name, level_count, matches};
pub use note::{Claim, Denial, Note, What};
pub use outgoing::Outgoing;
pub use pausing::Pause;
pub use placement::Placement;
pub use post::is_pressed;
pub use prefixes::{Beneath, Distinct, PrefixSeen};
pub use pressure::Pressure;
pub use rates::{Charge, DoorRates, Flow, Over, Rates, Tallies, Tally};
pub use recorder::{Detail, Direction, Recorded, Traffic, Unacknowledged};
pub use secret::Secret;
pub use shard::Shard;
pub use span::{Sampling, Span, SpanId, SpanOutcome, SpanStep, SpanTally, TraceId, Traced};
pub use spare::Spare;
pub use store::{Batch, Fetch, Piece, topics::STORED_TOPICS_BYTES_MAX};
pub use tap::{TapFilter, TapOrder, TapRead, Tapped};
pub use time::Instant;
pub use topic_tap::TopicCount;
pub use why::{Because, Outcome, Says, Step, Why};
pub use withdrawals::Withdrawals;

/// Without it what messages cost can be compared: see `benches/watching`.
pub const IS_WATCHED: bool = !cfg!(feature = "unwatched");
