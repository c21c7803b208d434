//! The shard by scripts: packets in, what each client gets out. No sockets, no clock.
#![allow(clippy::unwrap_used)]

mod acknowledging;
mod apart;
mod asking;
mod authors;
mod brought;
mod connecting;
mod contesting;
mod delivering;
mod doorkeeping;
mod ending;
mod exchanging;
mod failing;
mod keeping;
mod leaving;
mod limits;
mod looking;
mod losing;
mod mounting;
mod permitted;
mod rates;
mod reconfiguring;
mod regranting;
mod replaying;
mod retaining;
mod reviewing;
mod room;
mod script;
mod shards;
mod sharing;
mod spilling;
mod subscribing;
mod tapping;
mod telling;
mod unawaited;
mod why;
