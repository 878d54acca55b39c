//! `sctp-port` and `max-message-size` (RFC 8841 sections 5 and 6).

use crate::error::Reason;

/// RFC 8841 section 5.1: `1*5(DIGIT)`, "the range is between 0 and 65535".
pub(crate) fn port(value: &str) -> Result<u16, Reason> {
    value
        .trim_start()
        .parse()
        .map_err(|_| Reason::Expected("a port from 0 to 65535"))
}

/// RFC 8841 section 6.1: `1*DIGIT`, "no upper limit"; beyond 64 bits it counts as the largest 64-bit number.
pub(crate) fn max_message_size(value: &str) -> Result<u64, Reason> {
    let value = value.trim_start();
    match !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(value.parse().unwrap_or(u64::MAX)),
        false => Err(Reason::Expected("a number of bytes")),
    }
}
