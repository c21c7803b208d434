//! What the broker shows of itself: topics below `$SYS`, metrics, and what it tells the service manager.
#![allow(clippy::unwrap_used)]

mod metrics;
mod monitoring;
mod service;
mod spans;
mod sys;
