//! Faults of a world that is broken on purpose: each must be reported by an oracle. No fault is part of a usual run.

use mqtt::{Packet, Version};
use shard::{Bundle, Errand, Mail};

use crate::said::Said;

/// One way in which the world lies to the broker or to the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The mesh loses publications at QoS 1 and 2.
    LoseMail,
    /// The mesh brings publications twice.
    RepeatMail,
    /// The mesh exchanges neighbouring publications.
    SwapMail,
    /// The mesh loses retained messages on their way to their home.
    LoseRetained,
    /// The mesh brings retained messages twice.
    RepeatRetained,
    /// Strangers set the retain flag, and the ledger believes that they do not.
    RetainStrangers,
    /// PUBACK and PUBREC of the broker vanish.
    LoseAcknowledgement,
    /// A PINGRESP more than asked.
    RepeatPingresp,
    /// A QoS 0 PUBLISH of the broker is sent twice.
    RepeatPublish,
    /// Messages of one client go to another one, too.
    Misdeliver,
    /// The last byte of a payload changes.
    ChangePayload,
    /// DISCONNECT packets of the broker vanish.
    LoseDisconnect,
    /// A byte that no packet begins with.
    SendGarbage,
    /// The ledger believes that clients take smaller packets than they said.
    UnderstatePacketSize,
    UnderstateReceiveMaximum,
    UnderstateTopicAliasMaximum,
    /// The ledger reads no counters.
    HideCounters,
    /// The ledger reads counters that are too high.
    InflateCounters,
    /// The broker is not told of some connections' end.
    ForgetClosed,
    /// The broker says that there is a session, and there is none, or the other way round.
    FlipSessionPresent,
    /// Who asks for a client id is told none.
    LoseAssignedId,
    /// Everybody who asks for a client id is told the same one.
    RepeatAssignedId,
    /// The ledger believes that wills are to wait longer.
    OverstateWillDelay,
    /// The ledger believes that messages expire at once.
    UnderstateExpiry,
    /// The ledger believes that clients promised to speak more often.
    UnderstateKeepAlive,
    /// Shards are told of more room than there is.
    OverstateRoom,
    /// Shards are told that a send is over when it is not.
    ConfirmEarly,
    /// The ledger believes that more was sent than was counted.
    MiscountPublishes,
    /// Shards are told that a socket took nothing of a send, when it took some of it.
    UnderstateTaken,
    /// Shards are told that a socket took all of a send, when it took a part of it.
    OverstateTaken,
    /// An operator whom the ledger does not know of closes connections.
    CloseSecretly,
    /// A shard panics.
    Panic,
    /// Disks lie: some blocks that were synced are not on the medium.
    LoseWrites,
    /// The last write that was synced before a crash is not on the medium.
    LoseLastWrite,
    /// A sync ends and nothing is on the medium.
    LoseSyncs,
    /// A write fails, and the shard hears that it is stored.
    HideFailure,
    /// A segment is given up although what is alive in it is not stored elsewhere.
    RetireEarly,
    /// Recoveries pass over records of these kinds.
    DropMessages,
    DropSessions,
    DropSubscriptions,
    DropDone,
    DropReceived,
    /// Names of wills that are stored.
    DropWillNames,
    /// Clients may do nothing from some moment on.
    DenyAll,
}

impl Fault {
    /// Whether the mesh does something to this mail.
    pub fn hits(self, mail: &Mail) -> bool {
        match self {
            Fault::LoseMail => match mail {
                Mail::Bundle(bundle) => {
                    bundle.iter().any(|bundled| bundled.errand == Errand::Deliver && !bundled.is_droppable())
                }
                Mail::Publish(publication) => publication.message.qos() > mqtt::QoS::AtMostOnce,
                _ => false,
            },
            Fault::RepeatMail | Fault::SwapMail => has(mail, Errand::Deliver),
            Fault::LoseRetained | Fault::RepeatRetained => has(mail, Errand::Retain),
            _ => false,
        }
    }

    /// What the ledger is made to believe of a packet.
    pub fn misstate(self, said: &mut Said) {
        let Said::Connect(said) = said else { return };
        match self {
            Fault::UnderstatePacketSize => said.maximum_packet_size = 20,
            Fault::UnderstateReceiveMaximum => said.receive_maximum = 1,
            Fault::UnderstateTopicAliasMaximum => said.topic_alias_maximum = 0,
            Fault::UnderstateKeepAlive => said.keep_alive_s = 1,
            Fault::OverstateWillDelay => {
                if let Some(will) = &mut said.will {
                    will.delay_s += 5;
                }
            }
            _ => {}
        }
    }

    /// What becomes of bytes that a shard sends.
    pub fn edit(self, bytes: Vec<u8>, version: Version) -> Vec<u8> {
        let mut edited = Vec::with_capacity(bytes.len());
        let mut rest = &bytes[..];
        while let Ok(Some(frame)) = mqtt::split(rest, mqtt::MAX_PACKET_SIZE) {
            let (raw, behind) = rest.split_at(frame.size);
            match mqtt::decode(&frame, version) {
                Ok(packet) => self.edit_packet(&packet, raw, version, &mut edited),
                Err(_) => edited.extend_from_slice(raw),
            }
            rest = behind;
        }
        edited.extend_from_slice(rest);
        edited
    }

    fn edit_packet(self, packet: &Packet<'_>, raw: &[u8], version: Version, out: &mut Vec<u8>) {
        match (self, packet) {
            (Fault::LoseDisconnect, Packet::Disconnect(_)) => {}
            (Fault::LoseAcknowledgement, Packet::Puback(_) | Packet::Pubrec(_)) => {}
            (Fault::RepeatPingresp, Packet::Pingresp) => {
                out.extend_from_slice(raw);
                out.extend_from_slice(raw);
            }
            (Fault::RepeatPublish, Packet::Publish(publish)) if publish.packet_id.is_none() => {
                out.extend_from_slice(raw);
                out.extend_from_slice(raw);
            }
            (Fault::ChangePayload, Packet::Publish(publish)) if publish.payload.len() > 8 => {
                out.extend_from_slice(raw);
                if let Some(last) = out.last_mut() {
                    *last ^= 1;
                }
            }
            (Fault::SendGarbage, Packet::Suback(_)) => {
                out.push(0x0F);
                out.extend_from_slice(raw);
            }
            (Fault::FlipSessionPresent, Packet::Connack(connack)) if !connack.reason.is_error() => {
                let flipped = mqtt::Connack { session_present: !connack.session_present, ..connack.clone() };
                Packet::Connack(flipped).encode(version, out);
            }
            (Fault::LoseAssignedId, Packet::Connack(connack)) => assign(connack, None, version, out),
            (Fault::RepeatAssignedId, Packet::Connack(connack)) => {
                assign(connack, Some("assigned"), version, out)
            }
            _ => out.extend_from_slice(raw),
        }
    }
}

/// CONNACK with another client id, where it has one.
fn assign(connack: &mqtt::Connack<'_>, client_id: Option<&str>, version: Version, out: &mut Vec<u8>) {
    let mut connack = connack.clone();
    let assigned = &mut connack.properties.assigned_client_id;
    *assigned = assigned.and(client_id);
    Packet::Connack(connack).encode(version, out);
}

fn has(mail: &Mail, errand: Errand) -> bool {
    match mail {
        Mail::Bundle(bundle) => bundle.iter().any(|bundled| bundled.errand == errand),
        Mail::Publish(_) => errand == Errand::Deliver,
        Mail::Retain(_) => errand == Errand::Retain,
        _ => false,
    }
}

/// Of a bundle only what is such an errand, or what is not.
pub fn part_of(bundle: &Bundle, errand: Errand, is_meant: bool) -> Bundle {
    let mut part = Bundle::new(bundle.begun_at(), 0);
    let meant = bundle.iter().filter(|bundled| (bundled.errand == errand) == is_meant);
    meant.for_each(|bundled| part.push(&bundled));
    part
}
