//! The ids of QoS 2 messages that were received and are not yet released.

use mqtt::PacketId;
use smallvec::SmallVec;

#[derive(Debug, Default)]
pub(crate) struct PacketIds {
    ids: SmallVec<[PacketId; 8]>,
}

impl PacketIds {
    /// False: it was there.
    pub fn insert(&mut self, id: PacketId) -> bool {
        match self.ids.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                self.ids.insert(at, id);
                true
            }
        }
    }

    /// False: it was not there.
    pub fn remove(&mut self, id: PacketId) -> bool {
        match self.ids.binary_search(&id) {
            Ok(at) => {
                self.ids.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    pub fn contains(&self, id: PacketId) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}
