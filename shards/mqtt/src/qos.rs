//! The quality of service of a message or of a subscription.

/// Ordered, so that the QoS of a delivery is the `min` of the message's and the subscription's.
#[repr(u8)]
#[derive(Copy, Clone, PartialEq, Eq, Debug, PartialOrd, Ord, Hash, Default)]
pub enum QoS {
    #[default]
    AtMostOnce = 0,
    AtLeastOnce = 1,
    ExactlyOnce = 2,
}

/// The value has no meaning as a QoS: 3 or above.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} is not a QoS")]
pub struct NotAQoS(pub u8);

impl TryFrom<u8> for QoS {
    type Error = NotAQoS;

    #[inline]
    fn try_from(value: u8) -> Result<Self, NotAQoS> {
        match value {
            0 => Ok(QoS::AtMostOnce),
            1 => Ok(QoS::AtLeastOnce),
            2 => Ok(QoS::ExactlyOnce),
            _ => Err(NotAQoS(value)),
        }
    }
}
