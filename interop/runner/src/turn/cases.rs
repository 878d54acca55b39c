//! What coturn's client programs do to our server, as a user would run them.

/// Who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A user with a password.
    User,
    /// The holder of credentials that a shared secret made.
    Secret,
    /// A user with a wrong password.
    Wrong,
}

/// A run of `turnutils_uclient`.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    /// Beside those that every run has.
    pub options: &'static [&'static str],
    /// TLS and DTLS have a port of their own.
    pub secure: bool,
    pub who: Who,
}

const PLAIN: Case = Case {
    name: "",
    what: "",
    options: &[],
    secure: false,
    who: Who::User,
};

pub const ALL: &[Case] = &[
    Case {
        name: "udp",
        what: "UDP, channels, an even port and the reserved one behind it",
        ..PLAIN
    },
    Case {
        name: "udp-secret",
        what: "the same with ephemeral credentials",
        who: Who::Secret,
        ..PLAIN
    },
    Case {
        name: "udp-indications",
        what: "UDP, Send and Data indications",
        options: &["-s"],
        ..PLAIN
    },
    Case {
        name: "udp-no-rtcp",
        what: "UDP, any port",
        options: &["-c"],
        ..PLAIN
    },
    Case {
        name: "udp-padded",
        what: "UDP, ChannelData padded although it need not be",
        options: &["-D"],
        ..PLAIN
    },
    Case {
        name: "udp-fragment",
        what: "UDP, DONT-FRAGMENT",
        options: &["-g"],
        ..PLAIN
    },
    Case {
        name: "udp-extra",
        what: "UDP, more requests for permissions and channels",
        options: &["-G"],
        ..PLAIN
    },
    Case {
        name: "tcp",
        what: "TCP, channels",
        options: &["-t"],
        ..PLAIN
    },
    Case {
        name: "tcp-secret",
        what: "the same with ephemeral credentials",
        options: &["-t"],
        who: Who::Secret,
        ..PLAIN
    },
    Case {
        name: "tcp-indications",
        what: "TCP, Send and Data indications",
        options: &["-t", "-s"],
        ..PLAIN
    },
    Case {
        name: "tcp-relay",
        what: "TCP, relays that speak TCP to each other (RFC 6062)",
        options: &["-t", "-T"],
        ..PLAIN
    },
    Case {
        name: "tls",
        what: "TLS, channels",
        options: &["-t", "-S"],
        secure: true,
        ..PLAIN
    },
    Case {
        name: "tls-indications",
        what: "TLS, Send and Data indications",
        options: &["-t", "-S", "-s"],
        secure: true,
        ..PLAIN
    },
    Case {
        name: "dtls",
        what: "DTLS, channels",
        options: &["-S"],
        secure: true,
        ..PLAIN
    },
    Case {
        name: "dtls-indications",
        what: "DTLS, Send and Data indications",
        options: &["-S", "-s"],
        secure: true,
        ..PLAIN
    },
    Case {
        name: "wrong-password",
        what: "a wrong password gets no allocation",
        who: Who::Wrong,
        ..PLAIN
    },
];
