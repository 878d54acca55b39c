//! STUN servers by name: `stun:host:port` (RFC 7064) and what the system's resolver makes of it.

use std::net::SocketAddr;

use crate::error::BindError;

/// The port of STUN over UDP (RFC 8489, section 8.1).
const STUN_PORT: u16 = 3478;

/// The addresses of every server in `urls`. A name that does not resolve is logged and left out: the
/// connection may work without it.
pub(crate) async fn stun_servers(urls: &[String]) -> Result<Vec<SocketAddr>, BindError> {
    let mut addresses = Vec::new();
    for url in urls {
        let (host, port) = parse(url).ok_or_else(|| BindError::StunUrl(url.clone()))?;
        match tokio::net::lookup_host((host, port)).await {
            Ok(found) => addresses.extend(found),
            Err(error) => log::warn!("{url} does not resolve and is left out: {error}"),
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// `stunURI = scheme ":" host [ ":" port ]` with the scheme `stun` (RFC 7064, section 3.1).
fn parse(url: &str) -> Option<(&str, u16)> {
    let rest = url.strip_prefix("stun:")?;
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (
                host,
                if port.is_empty() {
                    None
                } else {
                    Some(port.strip_prefix(':')?)
                },
            )
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let valid = !host.is_empty() && !host.contains(['/', '?', '@', ' ']);
    valid.then_some((host, port.map_or(Ok(STUN_PORT), str::parse).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stun_urls_name_a_host_and_perhaps_a_port() {
        assert_eq!(parse("stun:stun.example.org"), Some(("stun.example.org", 3478)));
        assert_eq!(parse("stun:192.0.2.1:19302"), Some(("192.0.2.1", 19302)));
        assert_eq!(parse("stun:[2001:db8::1]:3479"), Some(("2001:db8::1", 3479)));
        assert_eq!(parse("stun:[2001:db8::1]"), Some(("2001:db8::1", 3478)));
        for bad in [
            "stun.example.org",
            "turn:x",
            "stun:",
            "stun:a:b",
            "stun:a:99999",
            "stun:[::1",
            "stun://a",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
