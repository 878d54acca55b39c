//! Our own addresses hidden behind names (draft-ietf-mmusic-mdns-ice-candidates, section 3.1): the parent answers the local
//! network who asks for them.

use std::net::IpAddr;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::candidate::is_private;

/// Which addresses of this host are hidden behind names.
///
/// Who learns a name and is on the same network learns the address, too; nobody else does. It takes multicast DNS on both
/// sides, and the peer's stack has to know such names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HiddenHosts {
    /// None of them.
    #[default]
    None,
    /// Those that mean something on their own network only (RFC 1918, RFC 6598, RFC 4193, loopback and link-local ones). Of
    /// an address that everybody can reach, a server-reflexive candidate tells as much (section 3.1.2.2).
    Private,
    /// All of them. An address that everybody can reach is still told by servers that see it.
    All,
}

impl HiddenHosts {
    pub(crate) fn hides(self, ip: IpAddr) -> bool {
        match self {
            HiddenHosts::None => false,
            HiddenHosts::Private => is_private(ip),
            HiddenHosts::All => true,
        }
    }
}

/// The names of this host's addresses, one for each: "an ICE agent using an interface with both IPv4 and IPv6 addresses MUST
/// expose a different mDNS name for each address" (section 3.1.1).
#[derive(Debug, Default)]
pub(crate) struct OwnNames(Vec<(IpAddr, String)>);

impl OwnNames {
    /// The name of an address, made if there is none; with whether it is new.
    pub(crate) fn name(&mut self, ip: IpAddr, rng: &mut StdRng) -> (String, bool) {
        if let Some(name) = self.get(ip) {
            return (name.to_owned(), false);
        }
        let name = random_name(rng);
        self.0.push((ip, name.clone()));
        (name, true)
    }

    pub(crate) fn get(&self, ip: IpAddr) -> Option<&str> {
        let known = self.0.iter().find(|(of, _)| *of == ip);
        known.map(|(_, name)| name.as_str())
    }

    pub(crate) fn remove(&mut self, ip: IpAddr) -> Option<String> {
        let index = self.0.iter().position(|(of, _)| *of == ip)?;
        Some(self.0.remove(index).1)
    }

    pub(crate) fn take(&mut self) -> impl Iterator<Item = String> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|(_, name)| name)
    }
}

/// "The unique name MUST consist of a version 4 UUID as defined in [RFC4122], followed by ".local"." (section 3.1.1)
fn random_name(rng: &mut StdRng) -> String {
    let mut bytes: [u8; 16] = rng.random();
    // RFC 4122, section 4.4: the version, and the variant.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = |range: std::ops::Range<usize>| -> String {
        bytes[range].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let [a, b, c, d, e] = [0..4, 4..6, 6..8, 8..10, 10..16].map(hex);
    format!("{a}-{b}-{c}-{d}-{e}.local")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::is_hidden_name;
    use rand::SeedableRng;

    #[test]
    fn each_address_has_a_name_of_its_own_that_resolvers_take() {
        let mut rng = StdRng::from_seed([1; 32]);
        let mut names = OwnNames::default();
        let (four, six): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        let (one, new) = names.name(four, &mut rng);
        assert!(new && is_hidden_name(&one), "{one}");
        let (two, _) = names.name(six, &mut rng);
        assert_ne!(one, two);
        assert_eq!(names.name(four, &mut rng), (one.clone(), false));
        assert_eq!(names.remove(four), Some(one.clone()));
        let (again, new) = names.name(four, &mut rng);
        assert!(new && again != one, "a name is not used twice");
        for _ in 0..500 {
            assert!(is_hidden_name(&random_name(&mut rng)));
        }
    }

    #[test]
    fn private_addresses_are_those_that_nobody_else_reaches() {
        for (ip, private) in [
            ("192.168.1.7", true),
            ("10.0.0.1", true),
            ("172.31.255.255", true),
            ("172.32.0.1", false),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("127.0.0.1", true),
            ("169.254.3.4", true),
            ("192.0.2.1", false),
            ("fd12::1", true),
            ("fe80::1", true),
            ("::1", true),
            ("2001:db8::1", false),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!(HiddenHosts::Private.hides(ip), private, "{ip}");
            assert!(HiddenHosts::All.hides(ip) && !HiddenHosts::None.hides(ip));
        }
    }
}
