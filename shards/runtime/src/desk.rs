//! Where other threads ask the shards things and have things done, without ever waiting for them.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::SystemTime,
};

use crossbeam_channel::Sender;
use shard::{Act, Acted, ConnId, FreshLoss, Instant, Look, Placement, Seen, ShardId, TapOrder, TapRead};

use crate::{
    bans::{Ban, BanTable, Banned},
    control::{Command, Snapshot},
    door::{DoorUse, Doors, OpenDoor},
    mesh::Shared,
    seats::Seats,
};

/// The shards, as other threads reach them. A clone reaches the same ones.
#[derive(Clone)]
pub struct Desk {
    commands: Vec<Sender<Command>>,
    shared: Arc<Shared>,
    places: Places,
    placement: Placement,
}

/// Of what the whole process has so many.
#[derive(Clone)]
pub(crate) struct Places {
    pub seats: Arc<Seats>,
    pub doors: Arc<Doors>,
    pub bans: Arc<Mutex<BanTable>>,
}

/// What a shard answered, with what the runtime alone knows of it.
#[derive(Debug, Clone)]
pub struct Looked {
    pub seen: Seen,
    /// Of those connections in the answer that came by an address.
    pub addresses: Vec<(ConnId, SocketAddr)>,
    /// The shard's moment, by which what expires is told.
    pub now: Instant,
}

/// The shard has so many orders already that it takes no more, or it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("shard {} takes no orders at present", shard.0)]
pub struct Unreachable {
    pub shard: ShardId,
}

/// Called on the shard's thread, so it must not block. A shard that ends drops it.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

impl Desk {
    pub(crate) fn new(
        commands: Vec<Sender<Command>>,
        shared: Arc<Shared>,
        places: Places,
        placement: Placement,
    ) -> Desk {
        Desk { commands, shared, places, placement }
    }

    /// Who is banned now. A change holds this up for as long as it takes to make the list of the shards.
    pub fn bans(&self) -> Arc<[Ban]> {
        self.places.bans.lock().unwrap_or_else(PoisonError::into_inner).tell(SystemTime::now())
    }

    /// Connections of all shards, closing ones included.
    pub fn connections(&self) -> usize {
        self.places.seats.taken()
    }

    /// As many may be let in.
    pub fn connections_max(&self) -> usize {
        self.places.seats.max()
    }

    /// Those that are open.
    pub fn doors(&self) -> Vec<DoorUse> {
        let doors = self.places.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let used = |open: &Arc<OpenDoor>| DoorUse {
            place: open.door.place.clone(),
            connections: open.seats.taken(),
            connections_max: open.seats.max(),
        };
        doors.iter().flatten().map(used).collect()
    }

    /// How many hold.
    pub fn banned(&self) -> Banned {
        let bans = self.places.bans.lock().unwrap_or_else(PoisonError::into_inner);
        bans.count(SystemTime::now())
    }

    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.commands.len() as u8).map(ShardId)
    }

    /// The shard that keeps the retained message of this topic.
    pub fn home_of(&self, topic: &str) -> ShardId {
        self.placement.topic(topic)
    }

    /// The shard that has the session of this client.
    pub fn home_of_client(&self, client_id: &str) -> ShardId {
        self.placement.client(client_id)
    }

    /// The answer is not worked out once `asker` is gone. Where too many wait for theirs, the reply is dropped.
    pub fn look(
        &self,
        shard: ShardId,
        look: Look,
        asker: Weak<()>,
        reply: Reply<Looked>,
    ) -> Result<(), Unreachable> {
        self.send(shard, Command::Look(Box::new(look), asker, reply))
    }

    pub fn act(&self, shard: ShardId, act: Act, reply: Reply<Acted>) -> Result<(), Unreachable> {
        self.send(shard, Command::Act(Box::new(act), reply))
    }

    pub fn tap(&self, shard: ShardId, order: TapOrder, reply: Reply<TapRead>) -> Result<(), Unreachable> {
        self.send(shard, Command::Tap(Box::new(order), reply))
    }

    /// Losses since the last question. Whoever goes on asking misses none of them.
    pub fn fresh_losses(&self, shard: ShardId, reply: Reply<Vec<FreshLoss>>) -> Result<(), Unreachable> {
        self.send(shard, Command::FreshLosses(reply))
    }

    pub fn snapshot(&self, shard: ShardId, reply: Reply<Snapshot>) -> Result<(), Unreachable> {
        self.send(shard, Command::Snapshot(reply))
    }

    fn send(&self, shard: ShardId, command: Command) -> Result<(), Unreachable> {
        let sender = self.commands.get(shard.index()).ok_or(Unreachable { shard })?;
        sender.try_send(command).map_err(|_| Unreachable { shard })?;
        self.shared.bell(shard).ring();
        Ok(())
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk of {} shards", self.commands.len())
    }
}
