//! Other doors and limits while the broker runs: bound before anything changes, so that it is all of it or nothing.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;

use crate::{
    Broker, Door, Place, StartError,
    broker::SNAPSHOT_MAX,
    control::{Command, Delays, Hanging},
    door::OpenDoor,
    listener::{self, Bound},
};

/// What holds from now on.
#[derive(Debug)]
pub struct Renewal {
    /// By their numbers, none where nobody comes in any more. A number is that of one door for the broker's whole life.
    pub doors: Vec<Option<Hung>>,
    pub max_connections: usize,
    pub linger: Duration,
    /// Without what a shard cannot change while it lives.
    pub core: shard::Config,
}

/// A door, and where its socket comes from.
#[derive(Debug)]
pub enum Hung {
    /// The door of this number has it, which may be another one at the same place.
    There {
        from: u16,
        door: Door,
    },
    Added(Door),
}

/// A renewal that can be carried out: its places are taken. Dropped, it has changed nothing.
pub struct Prepared {
    bound: Bound,
    doors: Vec<Option<Ready>>,
    max_connections: usize,
    delays: Delays,
    core: shard::Config,
}

/// A door that is ready to be hung.
enum Ready {
    There { from: u16, door: Arc<OpenDoor> },
    Added(Arc<OpenDoor>),
}

impl Prepared {
    /// The last that can fail: from here on the kernel keeps those who come until they are let in.
    pub fn listen(&self) -> Result<(), StartError> {
        self.bound.listen()
    }
}

impl Broker {
    /// Takes the places of the doors that are added. Nothing changes yet.
    pub fn prepare(&self, renewal: Renewal) -> Result<Prepared, StartError> {
        let Renewal { doors, max_connections, linger, core } = renewal;
        let numbered = || (0_u16..).zip(&doors).filter_map(|(id, hung)| Some((id, hung.as_ref()?)));
        let added: Vec<(u16, Door)> = numbered()
            .filter_map(|(id, hung)| match hung {
                Hung::Added(door) => Some((id, door.clone())),
                Hung::There { .. } => None,
            })
            .collect();
        let shards = self.shards().count() as u8;
        let bound = listener::bind(&added, &self.places(), shards)?;
        let mut fresh = bound.doors.iter();
        let current = self.open_doors();
        let ready = doors.into_iter().zip(0_u16..).map(|(hung, id)| {
            Some(match hung? {
                Hung::Added(_) => {
                    Ready::Added(Arc::clone(fresh.next().expect("each that is added is bound")))
                }
                Hung::There { from, door } => {
                    let there = current.get(usize::from(from)).and_then(Option::as_ref);
                    let there = there.expect("the caller knows which doors there are");
                    Ready::There { from, door: Arc::new(there.hung_anew(id, door)) }
                }
            })
        });
        let doors = ready.collect();
        drop(current);
        let delays = Delays { handshake_max: core.limits.connect_timeout, linger };
        Ok(Prepared { bound, doors, max_connections, delays, core })
    }

    /// Carries out what listens already: it cannot fail. Connections stay, those of doors that are closed as well.
    pub fn renew(&self, prepared: Prepared) {
        let Prepared { mut bound, doors, max_connections, delays, core } = prepared;
        self.seats.set_max(max_connections);
        // Nobody comes in by a door that a shard does not know.
        self.tell_config(&core);
        let mut by_shard = std::mem::take(&mut bound.by_shard);
        // Their places are the broker's from here on.
        bound.doors.clear();
        for (shard, listeners) in self.shards().zip(by_shard.drain(..)) {
            let mut listeners = listeners.into_iter();
            let hangings = doors.iter().flatten().filter_map(|ready| match ready {
                Ready::There { from, door } => Some(Hanging::There { from: *from, door: Arc::clone(door) }),
                Ready::Added(_) => listeners.next().map(Hanging::Added),
            });
            self.command(shard, Command::Doors(hangings.collect()));
            self.command(shard, Command::Delays(delays));
        }
        self.note_doors(&doors);
    }

    /// Waits until every shard knows it, but not for one that hangs.
    fn tell_config(&self, core: &shard::Config) {
        let (reply, answers) = bounded(self.shards().count());
        for shard in self.shards() {
            self.command(shard, Command::Config(Box::new(core.clone()), reply.clone()));
        }
        drop(reply);
        let deadline = Instant::now() + SNAPSHOT_MAX;
        while answers.recv_deadline(deadline).is_ok() {}
    }

    /// Takes away the sockets of closed doors in the file system, and gives those that stay the mode that they are to have.
    fn note_doors(&self, doors: &[Option<Ready>]) {
        let mut current = self.open_doors();
        let now: Vec<Option<Arc<OpenDoor>>> = doors
            .iter()
            .map(|ready| {
                ready.as_ref().map(|ready| match ready {
                    Ready::There { door, .. } | Ready::Added(door) => Arc::clone(door),
                })
            })
            .collect();
        for gone in current.iter().flatten() {
            let place = &gone.door.place;
            // One that stays is there under another number, perhaps.
            if !now.iter().flatten().any(|open| open.door.place.is_at(place)) {
                place.clear();
            }
        }
        for open in now.iter().flatten() {
            open.seats.set_max(open.door.connections_max);
            if let Place::Unix { path, mode } = &open.door.place
                && let Err(error) = fs::set_permissions(path, Permissions::from_mode(*mode))
            {
                tracing::warn!(path = %path.display(), %error, "the mode of a socket cannot be changed");
            }
        }
        *current = now;
    }
}
