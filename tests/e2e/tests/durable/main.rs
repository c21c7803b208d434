//! What was acknowledged outlives the broker, however it ends; a store that came to harm is not taken for a whole one.
#![allow(clippy::unwrap_used)]

mod backed_up;
mod damaged;
mod directory;
mod examined;
mod failing;
mod full;
mod interest;
mod kept;
mod killed;
mod lives;
mod lost;
mod mended;
mod moved;
mod publisher;
mod room;
mod shelf;
mod spilled;
mod subscriber;
mod traffic;
mod visitor;
mod wills;
