//! What kinds of worlds there are. What a kind means in numbers is drawn in `settings.rs`.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// Nothing breaks: every message has to arrive.
    Calm,
    /// Everything at once.
    Chaos,
    /// Rings between shards with very few slots.
    TinyMesh,
    /// Clients that read slowly or stop, and queues that overflow.
    SlowReaders,
    /// Mostly shared subscriptions.
    Shared,
    /// Wills, expiry of sessions and of messages, long absences.
    Wills,
    /// Connections that break all the time, at any byte.
    Cuts,
    /// Retained messages and subscriptions that come and go.
    Retained,
    /// Sessions and subscriptions that stay: what is missing and what is counted come close to each other.
    Accounts,
    /// More is published than the rings can carry: publishers are not read for long times.
    Congested,
    /// Ends with a shutdown.
    Drain,
    /// Somebody is asked who clients are, and what they may do and how fast is said anew again and again: all of it lets everybody
    /// do everything.
    Renewals,
    /// Work that can be long is done in the smallest of pieces: sessions end with many filters, and full queues expire.
    Pieces,
    /// There is a store, and the broker crashes and comes back.
    Durable,
    /// The same with everything at once.
    DurableChaos,
    /// Mostly QoS 2 handshakes that are cut, over slow disks.
    DurableCuts,
    DurableCongested,
    DurableShared,
    DurableWills,
    DurableRetained,
    /// Queues that overflow, few messages in flight, slow clients.
    DurableSlow,
    /// Queues that are hardly in memory: what clients are sent is read back from the log.
    DurableSpill,
    /// The broker hardly ever lives for long, and its segments are small.
    DurableRestarts,
    /// Nothing waits for the disk: a kill loses nothing, and a loss of power the end of the log at most.
    DurableWritten,
    /// The disks have no space for further files, and some again.
    DurableFull,
    /// A write fails: the broker ends, or goes on without its store until it is started again.
    DurableFailing,
    /// Is shut down in order, and started again.
    DurableDrain,
    DurableRenewals,
    DurablePieces,
    /// So short that it can crash at each of its points in turn.
    DurableBrief,
    /// SUBSCRIBEs and UNSUBSCRIBEs of many filters are done one after the other, while everything else happens.
    Changes,
    DurableChanges,
}

impl Profile {
    pub const ALL: [Profile; 32] = [
        Profile::Calm,
        Profile::Chaos,
        Profile::TinyMesh,
        Profile::SlowReaders,
        Profile::Shared,
        Profile::Wills,
        Profile::Cuts,
        Profile::Retained,
        Profile::Accounts,
        Profile::Congested,
        Profile::Drain,
        Profile::Renewals,
        Profile::Pieces,
        Profile::Durable,
        Profile::DurableChaos,
        Profile::DurableCuts,
        Profile::DurableCongested,
        Profile::DurableShared,
        Profile::DurableWills,
        Profile::DurableRetained,
        Profile::DurableSlow,
        Profile::DurableSpill,
        Profile::DurableRestarts,
        Profile::DurableWritten,
        Profile::DurableFull,
        Profile::DurableFailing,
        Profile::DurableDrain,
        Profile::DurableRenewals,
        Profile::DurablePieces,
        Profile::DurableBrief,
        Profile::Changes,
        Profile::DurableChanges,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Profile::Calm => "calm",
            Profile::Chaos => "chaos",
            Profile::TinyMesh => "tiny-mesh",
            Profile::SlowReaders => "slow-readers",
            Profile::Shared => "shared",
            Profile::Wills => "wills",
            Profile::Cuts => "cuts",
            Profile::Retained => "retained",
            Profile::Accounts => "accounts",
            Profile::Congested => "congested",
            Profile::Drain => "drain",
            Profile::Renewals => "renewals",
            Profile::Pieces => "pieces",
            Profile::Durable => "durable",
            Profile::DurableChaos => "durable-chaos",
            Profile::DurableCuts => "durable-cuts",
            Profile::DurableCongested => "durable-congested",
            Profile::DurableShared => "durable-shared",
            Profile::DurableWills => "durable-wills",
            Profile::DurableRetained => "durable-retained",
            Profile::DurableSlow => "durable-slow",
            Profile::DurableSpill => "durable-spill",
            Profile::DurableRestarts => "durable-restarts",
            Profile::DurableWritten => "durable-written",
            Profile::DurableFull => "durable-full",
            Profile::DurableFailing => "durable-failing",
            Profile::DurableDrain => "durable-drain",
            Profile::DurableRenewals => "durable-renewals",
            Profile::DurablePieces => "durable-pieces",
            Profile::DurableBrief => "durable-brief",
            Profile::Changes => "changes",
            Profile::DurableChanges => "durable-changes",
        }
    }

    /// There is a store, and the broker crashes and comes back.
    pub fn is_durable(self) -> bool {
        self.around().is_some()
    }

    /// What happens around the store: the world is the same without one.
    pub(crate) fn around(self) -> Option<Profile> {
        match self {
            Profile::Durable => Some(Profile::Calm),
            Profile::DurableChaos => Some(Profile::Chaos),
            Profile::DurableCuts => Some(Profile::Cuts),
            Profile::DurableCongested => Some(Profile::Congested),
            Profile::DurableShared => Some(Profile::Shared),
            Profile::DurableWills => Some(Profile::Wills),
            Profile::DurableRetained => Some(Profile::Retained),
            Profile::DurableSlow => Some(Profile::SlowReaders),
            Profile::DurableSpill => Some(Profile::Cuts),
            Profile::DurableRestarts => Some(Profile::Chaos),
            Profile::DurableWritten => Some(Profile::Cuts),
            Profile::DurableFull => Some(Profile::Cuts),
            Profile::DurableFailing => Some(Profile::Calm),
            Profile::DurableDrain => Some(Profile::Drain),
            Profile::DurableRenewals => Some(Profile::Renewals),
            Profile::DurablePieces => Some(Profile::Pieces),
            Profile::DurableBrief => Some(Profile::Cuts),
            Profile::DurableChanges => Some(Profile::Changes),
            _ => None,
        }
    }

    pub fn of(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name)
    }
}
