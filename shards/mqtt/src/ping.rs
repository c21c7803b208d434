//! PINGREQ and PINGRESP: a fixed header and nothing else.

use crate::frame::Body;
use crate::primitive::{Reader, Sink};
use crate::{Frame, Version, Violation};

/// The body of both, which is empty in every version.
pub(crate) struct Ping;

impl Ping {
    pub fn decode(frame: &Frame<'_>) -> Result<Self, Violation> {
        Reader::new(frame.body).finish()?;
        Ok(Ping)
    }
}

impl Body for Ping {
    fn put(&self, _version: Version, _sink: &mut impl Sink) {}
}
