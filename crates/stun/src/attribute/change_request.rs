//! CHANGE-REQUEST (RFC 5780, section 7.2): from where the server is to answer.

use crate::attribute;
use crate::message::Message;
use crate::writer::Writer;

/// Which parts of the server's address the answer is to leave from differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeRequest {
    /// From the other IP address.
    pub ip: bool,
    /// From the other port.
    pub port: bool,
}

impl ChangeRequest {
    /// Reads CHANGE-REQUEST; `None` when there is none, or it has not four bytes.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Self> {
        let [_, _, _, flags] = message.fixed(attribute::CHANGE_REQUEST)?;
        Some(Self {
            ip: flags & 0b100 != 0,
            port: flags & 0b010 != 0,
        })
    }

    /// Appends CHANGE-REQUEST.
    pub fn write(self, writer: &mut Writer<'_>) {
        let flags = u8::from(self.ip) << 2 | u8::from(self.port) << 1;
        writer.attribute(attribute::CHANGE_REQUEST, &[0, 0, 0, flags]);
    }
}
