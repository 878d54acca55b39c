//! Extensions of the hellos (RFC 5246, section 7.4.1.4), one file each. What is not here is tolerated in a
//! ClientHello: "servers MUST ignore any unrecognized extensions".

pub(crate) mod ec_point_formats;
pub(crate) mod extended_master_secret;
pub(crate) mod renegotiation_info;
pub(crate) mod signature_algorithms;
pub(crate) mod supported_groups;
pub(crate) mod supported_versions;
pub(crate) mod use_srtp;

use crate::codec::{Malformed, Reader, put_u16, put_vec};
use use_srtp::UseSrtp;

/// Calls `take` with each extension of a block that fills `bytes`.
///
/// > There MUST NOT be more than one extension of the same type. (RFC 5246, section 7.4.1.4)
fn for_each<'a>(
    bytes: &'a [u8],
    mut take: impl FnMut(u16, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    let mut seen = Vec::new();
    while !reader.is_empty() {
        let (kind, body) = (reader.u16()?, reader.vec16()?);
        if seen.contains(&kind) {
            return Err(Malformed);
        }
        seen.push(kind);
        take(kind, body)?;
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    put_u16(out, kind);
    put_vec(out, 2, body);
}

/// The extensions of a ClientHello that this crate knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClientExtensions {
    pub(crate) extended_master_secret: bool,
    pub(crate) renegotiation_info: Option<Vec<u8>>,
    pub(crate) supported_groups: Option<Vec<u16>>,
    pub(crate) ec_point_formats: Option<Vec<u8>>,
    pub(crate) signature_algorithms: Option<Vec<u16>>,
    pub(crate) use_srtp: Option<UseSrtp>,
    pub(crate) supported_versions: Option<Vec<u16>>,
}

impl ClientExtensions {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for_each(bytes, |kind, body| {
            match kind {
                extended_master_secret::KIND => {
                    extended_master_secret::parse(body)?;
                    this.extended_master_secret = true;
                }
                renegotiation_info::KIND => this.renegotiation_info = Some(renegotiation_info::parse(body)?),
                supported_groups::KIND => this.supported_groups = Some(supported_groups::parse(body)?),
                ec_point_formats::KIND => this.ec_point_formats = Some(ec_point_formats::parse(body)?),
                signature_algorithms::KIND => {
                    this.signature_algorithms = Some(signature_algorithms::parse(body)?);
                }
                use_srtp::KIND => this.use_srtp = Some(UseSrtp::parse(body)?),
                supported_versions::KIND => this.supported_versions = Some(supported_versions::parse(body)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(this)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.extended_master_secret {
            put(out, extended_master_secret::KIND, |_| ());
        }
        if let Some(verify_data) = &self.renegotiation_info {
            put(out, renegotiation_info::KIND, |out| {
                renegotiation_info::write(verify_data, out)
            });
        }
        if let Some(groups) = &self.supported_groups {
            put(out, supported_groups::KIND, |out| {
                supported_groups::write(groups, out)
            });
        }
        if let Some(formats) = &self.ec_point_formats {
            put(out, ec_point_formats::KIND, |out| {
                ec_point_formats::write(formats, out)
            });
        }
        if let Some(schemes) = &self.signature_algorithms {
            put(out, signature_algorithms::KIND, |out| {
                signature_algorithms::write(schemes, out)
            });
        }
        if let Some(use_srtp) = &self.use_srtp {
            put(out, use_srtp::KIND, |out| use_srtp.write(out));
        }
        if let Some(versions) = &self.supported_versions {
            put(out, supported_versions::KIND, |out| {
                supported_versions::write(versions, out)
            });
        }
    }
}

/// The extensions of a ServerHello that this crate knows, and whether there are others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerExtensions {
    pub(crate) extended_master_secret: bool,
    pub(crate) renegotiation_info: Option<Vec<u8>>,
    pub(crate) ec_point_formats: Option<Vec<u8>>,
    pub(crate) use_srtp: Option<UseSrtp>,
    /// The first that this crate never offers.
    pub(crate) unknown: Option<u16>,
}

impl ServerExtensions {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for_each(bytes, |kind, body| {
            match kind {
                extended_master_secret::KIND => {
                    extended_master_secret::parse(body)?;
                    this.extended_master_secret = true;
                }
                renegotiation_info::KIND => this.renegotiation_info = Some(renegotiation_info::parse(body)?),
                ec_point_formats::KIND => this.ec_point_formats = Some(ec_point_formats::parse(body)?),
                use_srtp::KIND => this.use_srtp = Some(UseSrtp::parse(body)?),
                // RFC 8422, section 4, has no such answer, but old servers give it: it says nothing.
                supported_groups::KIND => {}
                kind => this.unknown = this.unknown.or(Some(kind)),
            }
            Ok(())
        })?;
        Ok(this)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.extended_master_secret {
            put(out, extended_master_secret::KIND, |_| ());
        }
        if let Some(verify_data) = &self.renegotiation_info {
            put(out, renegotiation_info::KIND, |out| {
                renegotiation_info::write(verify_data, out)
            });
        }
        if let Some(formats) = &self.ec_point_formats {
            put(out, ec_point_formats::KIND, |out| {
                ec_point_formats::write(formats, out)
            });
        }
        if let Some(use_srtp) = &self.use_srtp {
            put(out, use_srtp::KIND, |out| use_srtp.write(out));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_extension_reads_back_as_written() {
        let client = ClientExtensions {
            extended_master_secret: true,
            renegotiation_info: Some(vec![]),
            supported_groups: Some(vec![29, 23]),
            ec_point_formats: Some(vec![0]),
            signature_algorithms: Some(vec![0x0403]),
            use_srtp: Some(UseSrtp {
                profiles: vec![7, 1],
                mki: vec![],
            }),
            supported_versions: Some(vec![0xFEFC, 0xFEFD]),
        };
        let mut bytes = Vec::new();
        client.write(&mut bytes);
        assert_eq!(ClientExtensions::parse(&bytes), Ok(client));
        let server = ServerExtensions {
            extended_master_secret: true,
            renegotiation_info: Some(vec![]),
            ec_point_formats: Some(vec![0]),
            use_srtp: Some(UseSrtp {
                profiles: vec![7],
                mki: vec![],
            }),
            unknown: None,
        };
        let mut bytes = Vec::new();
        server.write(&mut bytes);
        assert_eq!(ServerExtensions::parse(&bytes), Ok(server));
    }

    #[test]
    fn unknown_extensions_are_tolerated_from_clients_and_named_from_servers_and_repeats_are_malformed() {
        let unknown = [0xAB, 0xCD, 0, 1, 9];
        assert_eq!(ClientExtensions::parse(&unknown), Ok(ClientExtensions::default()));
        assert_eq!(ServerExtensions::parse(&unknown).unwrap().unknown, Some(0xABCD));
        let twice = [0, 23, 0, 0, 0, 23, 0, 0];
        assert_eq!(ClientExtensions::parse(&twice), Err(Malformed));
        assert_eq!(ClientExtensions::parse(&twice[..7]), Err(Malformed));
    }
}
