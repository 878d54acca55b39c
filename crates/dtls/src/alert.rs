//! Alerts (RFC 5246, section 7.2; extensions of the registry by RFC 6066 and RFC 7301).

use std::fmt;

/// What an alert says. Values that this crate has no name for survive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlertDescription(pub u8);

impl AlertDescription {
    /// The sender will send nothing more on this connection.
    pub const CLOSE_NOTIFY: Self = Self(0);
    /// A message that has no place here.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    /// A record that does not authenticate. DTLS drops such records instead.
    pub const BAD_RECORD_MAC: Self = Self(20);
    /// A record with more content than its receiver takes.
    pub const RECORD_OVERFLOW: Self = Self(22);
    /// No acceptable set of parameters.
    pub const HANDSHAKE_FAILURE: Self = Self(40);
    /// The certificate is corrupt, does not verify, or is not the one that the fingerprint names.
    pub const BAD_CERTIFICATE: Self = Self(42);
    /// The certificate's kind of key is not supported.
    pub const UNSUPPORTED_CERTIFICATE: Self = Self(43);
    /// The certificate was revoked by its signer.
    pub const CERTIFICATE_REVOKED: Self = Self(44);
    /// The certificate has expired, or is not valid yet.
    pub const CERTIFICATE_EXPIRED: Self = Self(45);
    /// The certificate is not accepted for a reason that no other alert names.
    pub const CERTIFICATE_UNKNOWN: Self = Self(46);
    /// The certificate is good, but its owner may not connect.
    pub const ACCESS_DENIED: Self = Self(49);
    /// A field out of range or at odds with others.
    pub const ILLEGAL_PARAMETER: Self = Self(47);
    /// The certificate's signer is not known or not trusted.
    pub const UNKNOWN_CA: Self = Self(48);
    /// A message that cannot be parsed.
    pub const DECODE_ERROR: Self = Self(50);
    /// A signature or a Finished message that does not verify.
    pub const DECRYPT_ERROR: Self = Self(51);
    /// More connection IDs were asked for than the sender hands out (RFC 9147, section 9).
    pub const TOO_MANY_CIDS_REQUESTED: Self = Self(52);
    /// The offered version is known but not supported.
    pub const PROTOCOL_VERSION: Self = Self(70);
    /// Something on the sender's side broke.
    pub const INTERNAL_ERROR: Self = Self(80);
    /// The user gave up.
    pub const USER_CANCELED: Self = Self(90);
    /// There will be no second handshake on this connection.
    pub const NO_RENEGOTIATION: Self = Self(100);
    /// An extension is missing that the negotiated version needs.
    pub const MISSING_EXTENSION: Self = Self(109);
    /// A ServerHello carries an extension that the client did not ask for.
    pub const UNSUPPORTED_EXTENSION: Self = Self(110);
    /// The client showed no certificate although it has to (RFC 8446, section 6.2).
    pub const CERTIFICATE_REQUIRED: Self = Self(116);
    /// No application protocol in common (RFC 7301, section 3.2).
    pub const NO_APPLICATION_PROTOCOL: Self = Self(120);

    fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            52 => "too_many_cids_requested",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => return None,
        })
    }
}

impl fmt::Display for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "alert {}", self.0),
        }
    }
}

impl fmt::Debug for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}({})", self.0)
    }
}

/// An alert on the wire: level, then description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) fatal: bool,
    pub(crate) description: AlertDescription,
}

impl Alert {
    pub(crate) const fn fatal(description: AlertDescription) -> Self {
        Self {
            fatal: true,
            description,
        }
    }

    pub(crate) const fn warning(description: AlertDescription) -> Self {
        Self {
            fatal: false,
            description,
        }
    }

    /// `None` for anything but two bytes with a level that exists.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [level @ (1 | 2), description] => Some(Self {
                fatal: level == 2,
                description: AlertDescription(description),
            }),
            _ => None,
        }
    }

    pub(crate) fn bytes(self) -> [u8; 2] {
        [if self.fatal { 2 } else { 1 }, self.description.0]
    }

    /// Whether the connection is over when the peer says so. A close_notify comes as a warning and ends it too.
    pub(crate) fn is_final(self) -> bool {
        self.fatal || self.description == AlertDescription::CLOSE_NOTIFY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_survive_the_wire_and_other_lengths_and_levels_are_none() {
        let alert = Alert::fatal(AlertDescription::DECODE_ERROR);
        assert_eq!(Alert::parse(&alert.bytes()), Some(alert));
        assert_eq!(alert.bytes(), [2, 50]);
        for bytes in [&[][..], &[2], &[3, 0], &[0, 0], &[1, 0, 0]] {
            assert_eq!(Alert::parse(bytes), None, "{bytes:?}");
        }
        assert_eq!(AlertDescription(42).to_string(), "bad_certificate");
        assert_eq!(AlertDescription(200).to_string(), "alert 200");
    }
}
