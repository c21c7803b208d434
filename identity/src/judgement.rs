//! What can be answered to the question who a client is.

use std::{borrow::Cow, fmt, sync::Arc};

use access::Permits;

use crate::{chain::Chain, exchanges::ExchangeId};

/// Who a client is. What it may do is decided elsewhere, from this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// None is nobody in particular.
    pub user: Option<Arc<str>>,
    pub groups: Vec<Arc<str>>,
    pub roles: Vec<Arc<str>>,
    /// Rules that came with the proof.
    pub permits: Option<Arc<Permits>>,
    /// When the session has to end.
    pub expires_at_unix_ms: Option<u64>,
    /// Which provider said so, for the log.
    pub provider: Cow<'static, str>,
    /// Of which kind that is: what is granted is compared by it, wherever the provider's file lies now.
    pub kind: &'static str,
}

/// What one provider says.
pub enum Judgement {
    Accept(Identity),
    /// The end of an exchange: the client gets the data with its CONNACK or AUTH.
    AcceptWith(Identity, Vec<u8>),
    Reject(Rejection),
    /// Not for this provider to decide.
    Pass,
    /// The client has to answer this first.
    Challenge(Vec<u8>, Box<dyn Exchange>),
}

/// Why somebody is not let in: the code for the client, the sentence for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Reason,
    pub why: Cow<'static, str>,
    /// Whom an exchange was to prove, which need not be the user name of the CONNECT.
    pub user: Option<Box<str>>,
}

/// What the client is told, by MQTT 5.0's reason codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    BadUserNameOrPassword,
    NotAuthorized,
    ServerUnavailable,
    ServerBusy,
    BadAuthenticationMethod,
    /// Too many failed attempts.
    ConnectionRateExceeded,
}

/// The rest of a conversation that a challenge began.
pub trait Exchange: Send {
    /// Never blocks: it runs where the answer arrives. The chain is the listener's of this moment, which may be another one
    /// than that which the exchange began in, and which has the last word.
    fn go_on(self: Box<Self>, data: &[u8], unix_ms: u64, chain: &Chain) -> Judgement;
}

/// What the asker gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Accept { identity: Arc<Identity>, data: Option<Vec<u8>> },
    Reject(Rejection),
    Challenge { data: Vec<u8>, exchange: ExchangeId },
}

impl Judgement {
    pub fn reject(reason: Reason, why: impl Into<Cow<'static, str>>) -> Judgement {
        Judgement::Reject(Rejection { reason, why: why.into(), user: None })
    }
}

impl Rejection {
    /// Of an attempt to prove to be this user.
    #[must_use]
    pub(crate) fn of(self, user: Option<&str>) -> Rejection {
        Rejection { user: user.map(Box::from), ..self }
    }
}

impl Answer {
    pub fn reject(reason: Reason, why: impl Into<Cow<'static, str>>) -> Answer {
        Answer::Reject(Rejection { reason, why: why.into(), user: None })
    }
}

impl Reason {
    /// The reason code of CONNACK and DISCONNECT in MQTT 5.0.
    pub fn code(self) -> u8 {
        match self {
            Reason::BadUserNameOrPassword => 0x86,
            Reason::NotAuthorized => 0x87,
            Reason::ServerUnavailable => 0x88,
            Reason::ServerBusy => 0x89,
            Reason::BadAuthenticationMethod => 0x8C,
            Reason::ConnectionRateExceeded => 0x9F,
        }
    }

    /// Whether the client tried something that was wrong, as opposed to a broker that could not say.
    pub fn is_failed_attempt(self) -> bool {
        matches!(
            self,
            Reason::BadUserNameOrPassword | Reason::NotAuthorized | Reason::BadAuthenticationMethod
        )
    }
}

impl fmt::Debug for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Judgement::Accept(identity) | Judgement::AcceptWith(identity, _) => {
                write!(f, "Accept({identity:?})")
            }
            Judgement::Reject(rejection) => write!(f, "{rejection:?}"),
            Judgement::Pass => f.write_str("Pass"),
            Judgement::Challenge(..) => f.write_str("Challenge"),
        }
    }
}
