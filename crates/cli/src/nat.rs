//! `dunlin nat`: how the NAT before this host behaves, in words.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Args;
use dunlin::nat::{DiscoverError, binding_lifetime, discover};

use crate::say::say;

/// The port of RFC 8489, section 18.6.
const PORT: u16 = 3478;

/// Say how the NAT before this host behaves (RFC 5780).
///
/// Mapping and filtering can only be told by a server with two addresses: `dunlin turn --nat-discovery …` is one, and
/// so is coturn with two listening addresses. It takes up to half a minute, and with --lifetime up to forty minutes more.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The STUN server; without a port, 3478. `stun:HOST` is understood, too.
    #[arg(value_name = "HOST[:PORT]")]
    server: String,
    /// Asks from this address of the host. [default: the one that leads to the server]
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// Measures how long the NAT keeps a binding that nobody uses, too, up to so long: it takes some times as long as that.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "600")]
    lifetime: Option<u32>,
}

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NatError {
    #[error("{0:?}: how a NAT treats UDP can only be seen over UDP: name the server by stun:HOST")]
    Secure(String),
    #[error("{0:?} is not the name of a server: {1}")]
    Name(String, #[source] io::Error),
    #[error("{0:?} has no address of the family of {1}")]
    Family(String, IpAddr),
    #[error("{0}")]
    Discover(#[from] DiscoverError),
}

/// Asks, and prints the answer.
pub(crate) async fn run(options: &Options) -> Result<(), NatError> {
    let server = resolve(options).await?;
    say(format_args!("asking {server} …"));
    say(discover(server, options.from).await?);
    if let Some(longest) = options.lifetime {
        let longest = Duration::from_secs(longest.into());
        say("measuring how long a binding is kept …");
        say(binding_lifetime(server, options.from, longest).await?);
    }
    Ok(())
}

/// The server's name, by whichever URL it was given.
fn plain(server: &str) -> Result<&str, NatError> {
    match server.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("stun") => Ok(rest),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("stuns") => Err(NatError::Secure(server.to_owned())),
        _ => Ok(server),
    }
}

/// The server's first address of the family that is asked from; of IPv4, where that is free.
async fn resolve(options: &Options) -> Result<SocketAddr, NatError> {
    let name = plain(&options.server)?;
    let wrong = |error| NatError::Name(name.to_owned(), error);
    let found: Vec<SocketAddr> = match name.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, PORT)],
        Err(_) if name.parse::<SocketAddr>().is_ok() || name.contains(':') => {
            tokio::net::lookup_host(name).await.map_err(wrong)?.collect()
        }
        Err(_) => tokio::net::lookup_host((name, PORT))
            .await
            .map_err(wrong)?
            .collect(),
    };
    let ipv4 = options.from.is_none_or(|from| from.is_ipv4());
    let first = found.iter().find(|address| address.is_ipv4() == ipv4);
    let any = found.first().filter(|_| options.from.is_none());
    let missing = || match options.from {
        Some(from) => NatError::Family(name.to_owned(), from),
        None => wrong(io::ErrorKind::NotFound.into()),
    };
    first.or(any).copied().ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_be_named_by_its_url() {
        assert_eq!(
            plain("stun:stun.example.org:3479").unwrap(),
            "stun.example.org:3479"
        );
        assert_eq!(plain("stun.example.org:3479").unwrap(), "stun.example.org:3479");
        assert_eq!(plain("[2001:db8::1]:3478").unwrap(), "[2001:db8::1]:3478");
        let error = plain("stuns:stun.example.org").unwrap_err().to_string();
        assert!(error.contains("only be seen over UDP"), "{error}");
    }
}
