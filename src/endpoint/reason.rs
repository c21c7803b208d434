//! What a refusal becomes: its words in the version that was spoken, and the exit code.

use client::{Disconnection, ReasonCode, Version};

/// The end of a connection in words. 3.x knows the return codes of CONNACK and no others, under names of their own.
pub fn text(disconnection: &Disconnection, version: Version) -> String {
    match (disconnection, version) {
        (Disconnection::Refused { reason, .. }, Version::V31 | Version::V311) => {
            let (code, name) = match reason.connect_return_code() {
                Some(1) => (1, "unacceptable protocol version"),
                Some(2) => (2, "identifier rejected"),
                Some(4) => (4, "bad user name or password"),
                Some(5) => (5, "not authorized"),
                Some(code) => (code, "server unavailable"),
                None => return disconnection.to_string(),
            };
            format!("the server refused the connection: {name} ({code})")
        }
        _ => disconnection.to_string(),
    }
}

/// Mosquitto's tools end with the value of the reason code. A few of those values are taken: a shell has 130 for
/// Ctrl-C, 137 for SIGKILL and 143 for SIGTERM.
pub fn exit_code(reason: ReasonCode, version: Version) -> u8 {
    if version != Version::V5 {
        return reason.connect_return_code().unwrap_or(CODE_FAILED);
    }
    match reason {
        ReasonCode::MalformedPacket | ReasonCode::ProtocolError => CODE_PROTOCOL,
        ReasonCode::ServerBusy => ReasonCode::ServerUnavailable as u8,
        ReasonCode::TopicFilterInvalid => CODE_FAILED,
        reason => reason as u8,
    }
}

// The exit codes of mosquitto's tools, for the scripts that look at them.
pub const CODE_FAILED: u8 = 1;
pub const CODE_PROTOCOL: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: ReasonCode) -> Disconnection {
        Disconnection::Refused { reason, reason_string: None, server_reference: None }
    }

    #[test]
    fn each_version_has_its_own_words() {
        let unavailable = refused(ReasonCode::ServerUnavailable);
        let text_of_3 = "the server refused the connection: server unavailable (3)";
        assert_eq!(text(&unavailable, Version::V311), text_of_3);
        assert!(text(&unavailable, Version::V5).ends_with("Server unavailable (0x88)"));
        let not_authorized = refused(ReasonCode::NotAuthorized);
        assert!(text(&not_authorized, Version::V31).ends_with("not authorized (5)"));
        assert_eq!(text(&Disconnection::Lost, Version::V311), "the connection was lost");
    }

    #[test]
    fn no_exit_code_is_that_of_a_signal() {
        for reason in (0x80..=u8::MAX).filter_map(ReasonCode::from_u8) {
            for version in [Version::V31, Version::V311, Version::V5] {
                let code = exit_code(reason, version);
                assert!(![0, 130, 137, 143].contains(&code), "{reason:?}: {code}");
            }
        }
        assert_eq!(exit_code(ReasonCode::NotAuthorized, Version::V5), 135);
        assert_eq!(exit_code(ReasonCode::NotAuthorized, Version::V311), 5);
        assert_eq!(exit_code(ReasonCode::ProtocolError, Version::V5), 2);
    }
}
