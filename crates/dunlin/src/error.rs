//! What can go wrong at the facade: one small enum per thing that is asked for.

use std::io;
use std::net::SocketAddr;

use dunlin_peerconnection::{Message, PieceError};

pub use dunlin_peerconnection::{AddCandidateError, CreateChannelError, DescriptionError, TransceiverError};

/// Why an endpoint or a connection could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The system refused a socket.
    #[error("cannot open a UDP socket at {address}: {source}")]
    Socket {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not tell its interfaces.
    #[error("cannot list the network interfaces: {0}")]
    Interfaces(#[source] io::Error),
    /// There is nothing to announce.
    #[error("this host has no usable IP address: connect it to a network, or bind to an address")]
    NoAddress,
    /// The URL of a STUN or TURN server is malformed.
    #[error("{url:?} is no URL of a STUN or TURN server: {reason}")]
    IceServerUrl {
        /// The URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A TURN server without a username and a credential.
    #[error("the TURN server {0:?} needs a username and a credential")]
    IceServerCredentials(String),
    /// The trusted certificates of the configuration are malformed.
    #[error("the trusted certificates are not understood: {0}")]
    TlsRoots(String),
    /// The endpoint's task has ended with the runtime that ran it.
    #[error("the endpoint has ended: the runtime that drove it was shut down")]
    EndpointGone,
}

/// Why there is no connection (any more).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// It could not be established, or it broke: why, in words that its user can act on.
    #[error("the connection failed: {0}")]
    Failed(String),
    /// The peer ended it; the reason in words.
    #[error("the peer closed the connection: {0}")]
    ClosedByPeer(String),
    /// It was closed on this side.
    #[error("the connection is closed")]
    Closed,
}

/// Why a message was not sent. The message comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel is closing or closed.
    #[error("the channel is closed")]
    Closed {
        /// The message.
        message: Message,
    },
    /// The message is larger than the peer said it takes.
    #[error("the message is {size} bytes, the peer takes {limit} at most")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The peer's limit in bytes.
        limit: usize,
        /// The message.
        message: Message,
    },
    /// There is no room now (only `try_send` says this; `send` waits).
    #[error("the channel has no room now")]
    Full {
        /// The message.
        message: Message,
    },
    /// The channel is not open yet (only `try_send` says this; `send` waits).
    #[error("the channel is not open yet")]
    NotOpen {
        /// The message.
        message: Message,
    },
    /// Another message is being written piece by piece (only `try_send` says this; `send` waits).
    #[error("another message is being written to the channel")]
    MessageOpen {
        /// The message.
        message: Message,
    },
    /// The connection failed while the channel was in use.
    #[error("{reason}")]
    Connection {
        /// Why.
        reason: ConnectionError,
        /// The message.
        message: Message,
    },
}

impl SendError {
    /// The message that was not sent.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            SendError::Closed { message }
            | SendError::TooLarge { message, .. }
            | SendError::Full { message }
            | SendError::NotOpen { message }
            | SendError::MessageOpen { message }
            | SendError::Connection { message, .. } => message,
        }
    }
}

/// Why a message of pieces, or a stream of bytes, was not written. As an `io::Error` it is the inner one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The channel is closing or closed.
    #[error("the channel is closed")]
    Closed,
    /// The message is larger than the peer said it takes.
    #[error("the message is {size} bytes or more, the peer takes {limit} at most")]
    TooLarge {
        /// Its size so far, in bytes.
        size: usize,
        /// The peer's limit in bytes.
        limit: usize,
    },
    /// The channel is not reliable, and the retransmissions or the life time of the message are used up.
    #[error("the message was given up: its retransmissions or its life time are used up")]
    GivenUp,
    /// The text is not UTF-8.
    #[error("the text is not UTF-8")]
    NotText,
    /// The peer could not be told that a message was given up, which every WebRTC peer can (RFC 8831, section 6.1).
    #[error("the peer takes whole messages only: it does not know partial reliability")]
    WholeMessagesOnly,
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl WriteError {
    pub(crate) fn of(error: PieceError, ended: Option<ConnectionError>) -> Self {
        match (error, ended) {
            (_, Some(reason)) => WriteError::Connection(reason),
            (PieceError::TooLarge { size, limit }, None) => WriteError::TooLarge { size, limit },
            (PieceError::GivenUp, None) => WriteError::GivenUp,
            (PieceError::NotText, None) => WriteError::NotText,
            (PieceError::NoPartialReliability, None) => WriteError::WholeMessagesOnly,
            _ => WriteError::Closed,
        }
    }
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        let kind = match &error {
            WriteError::Closed | WriteError::Connection(_) => io::ErrorKind::BrokenPipe,
            WriteError::TooLarge { .. } | WriteError::NotText => io::ErrorKind::InvalidInput,
            WriteError::GivenUp => io::ErrorKind::TimedOut,
            WriteError::WholeMessagesOnly => io::ErrorKind::Unsupported,
        };
        io::Error::new(kind, error)
    }
}

/// Any of the above, for programs that only report errors: every error of this crate converts into it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An endpoint or a connection could not be made.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A description was refused.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// A candidate was refused.
    #[error(transparent)]
    Candidate(#[from] AddCandidateError),
    /// A channel was not created.
    #[error(transparent)]
    CreateChannel(#[from] CreateChannelError),
    /// A transceiver refused.
    #[error(transparent)]
    Transceiver(#[from] TransceiverError),
    /// A message was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A message of pieces, or a stream of bytes, was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The connection ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A signalling message was not understood.
    #[error(transparent)]
    Signal(#[from] crate::description::ParseSignalError),
}
