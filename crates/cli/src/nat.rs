//! `dunlin nat`: how the NAT before this host behaves, in words.

use std::io;
use std::net::{IpAddr, SocketAddr};

use clap::Args;
use dunlin::nat::{DiscoverError, discover};

/// The port of RFC 8489, section 18.6.
const PORT: u16 = 3478;

/// Say how the NAT before this host behaves (RFC 5780).
///
/// Mapping and filtering can only be told by a server with two addresses: `dunlin turn --nat-discovery …` is one, and
/// so is coturn with two listening addresses. It takes up to half a minute.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The STUN server; without a port, 3478.
    #[arg(value_name = "HOST[:PORT]")]
    server: String,
    /// Asks from this address of the host. [default: the one that leads to the server]
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
}

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NatError {
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
    println!("asking {server} …");
    println!("{}", discover(server, options.from).await?);
    Ok(())
}

/// The server's first address of the family that is asked from; of IPv4, where that is free.
async fn resolve(options: &Options) -> Result<SocketAddr, NatError> {
    let name = &options.server;
    let wrong = |error| NatError::Name(name.clone(), error);
    let found: Vec<SocketAddr> = match name.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, PORT)],
        Err(_) if name.parse::<SocketAddr>().is_ok() || name.contains(':') => {
            tokio::net::lookup_host(name.as_str())
                .await
                .map_err(wrong)?
                .collect()
        }
        Err(_) => tokio::net::lookup_host((name.as_str(), PORT))
            .await
            .map_err(wrong)?
            .collect(),
    };
    let ipv4 = options.from.is_none_or(|from| from.is_ipv4());
    let first = found.iter().find(|address| address.is_ipv4() == ipv4);
    let any = found.first().filter(|_| options.from.is_none());
    let missing = || match options.from {
        Some(from) => NatError::Family(name.clone(), from),
        None => wrong(io::ErrorKind::NotFound.into()),
    };
    first.or(any).copied().ok_or_else(missing)
}
