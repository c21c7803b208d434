//! Names that no other test uses: all tests share one broker, and a broker that outlives a run may keep sessions.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A client id or a topic level that begins with `name`. Up to seven characters of `name`, the result is one of the
/// client ids that every server must allow [MQTT-3.1.3-5].
pub fn unique(name: &str) -> String {
    static RUN: OnceLock<u32> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let run = RUN.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        std::process::id() << 16 ^ now.subsec_nanos() ^ now.as_secs() as u32
    });
    format!("{name}{run:08x}{:04x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
