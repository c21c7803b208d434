//! What a shard wants to know of a client, and what it is told. Who answers is no business of the shard's.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use mqtt::{PacketKind, ReasonCode, Version};

use crate::{Permits, Secret, Tallies};

/// Who is it? Asked for a CONNECT, for each AUTH that goes on with it, and for each AUTH that renews what was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The number of the listener.
    pub door: u16,
    pub version: Version,
    /// Empty where the client leaves the choice to the server.
    pub client_id: Box<str>,
    pub user_name: Option<Box<str>>,
    pub password: Option<Secret>,
    pub clean_start: bool,
    /// Of enhanced authentication.
    pub exchange: Option<Exchange>,
    /// What the connection has, where the client is connected and proves itself again. User name and password of its CONNECT are
    /// forgotten by then.
    pub renews: Option<Arc<Grant>>,
}

/// What CONNECT or AUTH says in enhanced authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub method: Box<str>,
    pub data: Option<Secret>,
    /// Of the challenge that this answers; none begins.
    pub ticket: Option<u64>,
}

#[derive(Debug, Clone)]
pub enum Answer {
    Accept {
        grant: Arc<Grant>,
        /// From now on; without a limit for ever. A grant that was not renewed by then ends its connection.
        lasts: Option<Duration>,
        /// Goes with CONNACK or AUTH, where there is an exchange.
        data: Option<Box<[u8]>>,
    },
    /// The client is told the reason, the log also why, and as whom the client wanted to be let in, where that is not the user name
    /// of its CONNECT.
    Refuse { reason: ReasonCode, why: Cow<'static, str>, user: Option<Box<str>> },
    /// The client has to answer this first. Its answer comes with the ticket.
    Continue { data: Box<[u8]>, ticket: u64 },
}

/// Who somebody is. What he may do follows from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Who said so, and may take it back.
    pub by: Option<&'static str>,
    /// None is nobody in particular.
    pub user: Option<Arc<str>>,
    pub groups: Box<[Arc<str>]>,
    pub roles: Box<[Arc<str>]>,
    /// Of the client's certificate, the most important first.
    pub certificate_names: Box<[Arc<str>]>,
    /// By which a list of revoked certificates knows it.
    pub certificate: Option<CertificateId>,
    pub address: Option<IpAddr>,
    /// The client is on this machine, as far as who granted can know.
    pub is_local: bool,
    /// The user's name is proved, not only said.
    pub is_authenticated: bool,
    /// Of rates that hold for the user and for the address.
    pub tallies: Option<Box<Tallies>>,
    /// Who has said so, in words.
    pub provider: Option<Arc<str>>,
    /// Rules that came with the proof of identity.
    pub permits: Option<Arc<Permits>>,
}

impl Grant {
    /// Roughly, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let lists = [&self.groups, &self.roles, &self.certificate_names];
        let listed = lists.into_iter().flatten();
        let alone = [&self.user, &self.provider].into_iter().flatten();
        let names: usize = listed.chain(alone).map(|name| NAME_BYTES + name.len()).sum();
        let permits = self.permits.as_ref().map_or(0, |permits| permits.weight());
        let tallies = self.tallies.as_ref().map_or(0, |_| size_of::<Tallies>());
        size_of::<Grant>() + names + permits + tallies
    }
}

/// Of a name, beside its letters: where it stands, and what counts its holders.
const NAME_BYTES: usize = size_of::<Arc<str>>() + 2 * size_of::<usize>();

impl Answer {
    pub fn refuse(reason: ReasonCode, why: impl Into<Cow<'static, str>>) -> Answer {
        Answer::Refuse { reason, why: why.into(), user: None }
    }
}

/// The reason, if a packet of this kind can carry it.
pub(crate) fn sayable(reason: ReasonCode, packet: PacketKind) -> ReasonCode {
    let can_be_said = reason.is_error() && reason.is_allowed_in(packet);
    if can_be_said { reason } else { ReasonCode::NotAuthorized }
}

/// What the client is told of a refusal. Whether it was the name or the password is for the log alone.
pub(crate) fn told(reason: ReasonCode) -> &'static str {
    match reason {
        ReasonCode::BadUserNameOrPassword => "the user name or the password is wrong",
        ReasonCode::NotAuthorized => "not authorized",
        ReasonCode::Banned => "banned",
        ReasonCode::BadAuthenticationMethod => "the authentication method is not supported here",
        ReasonCode::ServerUnavailable => "the server cannot say who you are at present",
        ReasonCode::ServerBusy => "the server is busy; come back later",
        ReasonCode::ConnectionRateExceeded => "too many attempts; come back later",
        _ => "the authentication failed",
    }
}

/// A digest of a certificate's issuer and serial number.
pub type CertificateId = [u8; 32];

/// What was granted is something else from now on, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// Users whom somebody who granted knows otherwise than before. The groups and roles that each has now, or why he is not let
    /// in any more.
    Users { by: Arc<str>, users: BTreeMap<Box<str>, Result<Rights, Ended>> },
    /// At the listener nobody is let in by this one any more, or nobody who comes from elsewhere.
    Gone { door: u16, by: Arc<str>, from: From },
    /// At the listener these are revoked.
    Revoked { door: u16, certificates: Arc<BTreeSet<CertificateId>> },
}

/// Why somebody is not let in any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    UserDeleted,
    UserDisabled,
    /// Nobody is let in by what he came in by.
    WayGone,
    CertificateRevoked,
}

impl Ended {
    /// For the log.
    pub fn why(self) -> &'static str {
        match self {
            Ended::UserDeleted => "is not let in any more: its user is deleted",
            Ended::UserDisabled => "is not let in any more: its user is disabled",
            Ended::WayGone => "is not let in any more: the way by which it came in is gone from the listener",
            Ended::CertificateRevoked => "is not let in any more: its certificate is revoked",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Anywhere,
    OtherMachines,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    pub groups: Box<[Arc<str>]>,
    pub roles: Box<[Arc<str>]>,
}
