//! Why a text is not a session description (RFC 8866): always with the line and the attribute to look at.

use std::fmt;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The value does not follow its grammar; the text shows the grammar.
    #[error("expected {0}")]
    Expected(&'static str),
    /// RTP payload types are seven bits (RFC 3550 section 5.1).
    #[error("\"{0}\" is not an RTP payload type (0 to 127)")]
    PayloadType(String),
    /// The line has no `<letter>=` in front, or a letter that SDP does not know.
    #[error("not a line of SDP")]
    NotALine,
    /// RFC 8866 section 5: the lines "MUST appear in exactly the order given here".
    #[error("this line may not stand here")]
    Order,
    /// A line that RFC 8866 section 5 requires is not there.
    #[error("the line is missing")]
    Missing,
    /// RFC 8866 section 9: a byte-string holds neither NUL nor a line break.
    #[error("a control character inside the line")]
    ControlCharacter,
    /// A line is longer than [`crate::Limits::line_length`].
    #[error("longer than the limit of {0} bytes")]
    TooLong(usize),
    /// There are more lines, media sections or elements than [`crate::Limits`] allows.
    #[error("more than the limit of {0}")]
    TooMany(usize),
}

/// The text is not a session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line in the text, counted from 1; 0 when the text as a whole is meant.
    pub line: usize,
    /// The attribute's name (`rtpmap`), or the line's letter with its equals sign (`m=`).
    pub attribute: String,
    /// What is wrong with it.
    pub reason: Reason,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "SDP: {}: {}", self.attribute, self.reason),
            line => write!(f, "SDP line {line}: {}: {}", self.attribute, self.reason),
        }
    }
}

impl std::error::Error for ParseError {}
