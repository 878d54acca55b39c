//! Extensions of the hellos (RFC 5246, section 7.4.1.4), one file each. What is not here is tolerated in a
//! ClientHello: "servers MUST ignore any unrecognized extensions".

pub(crate) mod alpn;
pub(crate) mod connection_id;
pub(crate) mod cookie;
pub(crate) mod ec_point_formats;
pub(crate) mod extended_master_secret;
pub(crate) mod key_share;
pub(crate) mod record_size_limit;
pub(crate) mod renegotiation_info;
pub(crate) mod server_name;
pub(crate) mod signature_algorithms;
pub(crate) mod supported_groups;
pub(crate) mod supported_versions;
pub(crate) mod use_srtp;

use crate::close::HandshakeError;
use crate::codec::{Malformed, Reader, put_u16, put_vec};
use key_share::KeyShare;
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

/// Appends an extension.
pub(crate) fn put(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    put_u16(out, kind);
    put_vec(out, 2, body);
}

fn put_some<T>(out: &mut Vec<u8>, kind: u16, value: &Option<T>, write: impl FnOnce(&T, &mut Vec<u8>)) {
    if let Some(value) = value {
        put(out, kind, |out| write(value, out));
    }
}

/// The extensions of a ClientHello that this crate knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClientExtensions {
    pub(crate) server_name: Option<String>,
    pub(crate) extended_master_secret: bool,
    pub(crate) renegotiation_info: Option<Vec<u8>>,
    pub(crate) supported_groups: Option<Vec<u16>>,
    pub(crate) ec_point_formats: Option<Vec<u8>>,
    pub(crate) signature_algorithms: Option<Vec<u16>>,
    pub(crate) use_srtp: Option<UseSrtp>,
    pub(crate) alpn: Option<Vec<Vec<u8>>>,
    pub(crate) record_size_limit: Option<u16>,
    pub(crate) connection_id: Option<Vec<u8>>,
    pub(crate) supported_versions: Option<Vec<u16>>,
    pub(crate) cookie: Option<Vec<u8>>,
    pub(crate) key_share: Option<Vec<KeyShare>>,
}

impl ClientExtensions {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for_each(bytes, |kind, body| {
            match kind {
                server_name::KIND => this.server_name = Some(server_name::parse(body)?),
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
                alpn::KIND => this.alpn = Some(alpn::parse(body)?),
                record_size_limit::KIND => this.record_size_limit = Some(record_size_limit::parse(body)?),
                connection_id::KIND => this.connection_id = Some(connection_id::parse(body)?),
                supported_versions::KIND => {
                    this.supported_versions = Some(supported_versions::parse_offered(body)?);
                }
                cookie::KIND => this.cookie = Some(cookie::parse(body)?),
                key_share::KIND => this.key_share = Some(key_share::parse_offered(body)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(this)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_some(out, server_name::KIND, &self.server_name, |name, out| {
            server_name::write(name, out);
        });
        if self.extended_master_secret {
            put(out, extended_master_secret::KIND, |_| ());
        }
        put_some(
            out,
            renegotiation_info::KIND,
            &self.renegotiation_info,
            |data, out| {
                renegotiation_info::write(data, out);
            },
        );
        put_some(
            out,
            supported_groups::KIND,
            &self.supported_groups,
            |groups, out| {
                supported_groups::write(groups, out);
            },
        );
        put_some(
            out,
            ec_point_formats::KIND,
            &self.ec_point_formats,
            |formats, out| {
                ec_point_formats::write(formats, out);
            },
        );
        put_some(
            out,
            signature_algorithms::KIND,
            &self.signature_algorithms,
            |schemes, out| {
                signature_algorithms::write(schemes, out);
            },
        );
        put_some(out, use_srtp::KIND, &self.use_srtp, UseSrtp::write);
        put_some(out, alpn::KIND, &self.alpn, |protocols, out| {
            alpn::write(protocols, out)
        });
        put_some(
            out,
            record_size_limit::KIND,
            &self.record_size_limit,
            |limit, out| {
                record_size_limit::write(*limit, out);
            },
        );
        put_some(out, connection_id::KIND, &self.connection_id, |cid, out| {
            connection_id::write(cid, out);
        });
        put_some(
            out,
            supported_versions::KIND,
            &self.supported_versions,
            |versions, out| {
                supported_versions::write_offered(versions, out);
            },
        );
        put_some(out, cookie::KIND, &self.cookie, |cookie, out| {
            cookie::write(cookie, out)
        });
        put_some(out, key_share::KIND, &self.key_share, |shares, out| {
            key_share::write_offered(shares, out);
        });
    }

    /// Whether the extension was offered, so that a server may answer it.
    fn offers(&self, kind: u16) -> bool {
        match kind {
            server_name::KIND => self.server_name.is_some(),
            extended_master_secret::KIND => self.extended_master_secret,
            renegotiation_info::KIND => self.renegotiation_info.is_some(),
            supported_groups::KIND => self.supported_groups.is_some(),
            ec_point_formats::KIND => self.ec_point_formats.is_some(),
            signature_algorithms::KIND => self.signature_algorithms.is_some(),
            use_srtp::KIND => self.use_srtp.is_some(),
            alpn::KIND => self.alpn.is_some(),
            record_size_limit::KIND => self.record_size_limit.is_some(),
            connection_id::KIND => self.connection_id.is_some(),
            supported_versions::KIND => self.supported_versions.is_some(),
            key_share::KIND => self.key_share.is_some(),
            // A server may want one that nobody asked for (RFC 8446, section 4.2.2).
            cookie::KIND => self.supported_versions.is_some(),
            _ => false,
        }
    }
}

/// The extensions of a ServerHello, HelloRetryRequest or EncryptedExtensions that this crate knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerExtensions {
    pub(crate) extended_master_secret: bool,
    pub(crate) renegotiation_info: Option<Vec<u8>>,
    pub(crate) ec_point_formats: Option<Vec<u8>>,
    pub(crate) use_srtp: Option<UseSrtp>,
    pub(crate) alpn: Option<Vec<Vec<u8>>>,
    pub(crate) record_size_limit: Option<u16>,
    pub(crate) connection_id: Option<Vec<u8>>,
    pub(crate) supported_version: Option<u16>,
    pub(crate) cookie: Option<Vec<u8>>,
    pub(crate) key_share: Option<key_share::Answer>,
    /// All that came, known or not, as code points. Not written.
    pub(crate) kinds: Vec<u16>,
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
                alpn::KIND => this.alpn = Some(alpn::parse(body)?),
                record_size_limit::KIND => this.record_size_limit = Some(record_size_limit::parse(body)?),
                connection_id::KIND => this.connection_id = Some(connection_id::parse(body)?),
                supported_versions::KIND => {
                    this.supported_version = Some(supported_versions::parse_chosen(body)?);
                }
                cookie::KIND => this.cookie = Some(cookie::parse(body)?),
                key_share::KIND => this.key_share = Some(key_share::Answer::parse(body)?),
                _ => {}
            }
            this.kinds.push(kind);
            Ok(())
        })?;
        Ok(this)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_some(
            out,
            supported_versions::KIND,
            &self.supported_version,
            |version, out| {
                put_u16(out, *version);
            },
        );
        if self.extended_master_secret {
            put(out, extended_master_secret::KIND, |_| ());
        }
        put_some(
            out,
            renegotiation_info::KIND,
            &self.renegotiation_info,
            |data, out| {
                renegotiation_info::write(data, out);
            },
        );
        put_some(
            out,
            ec_point_formats::KIND,
            &self.ec_point_formats,
            |formats, out| {
                ec_point_formats::write(formats, out);
            },
        );
        put_some(out, use_srtp::KIND, &self.use_srtp, UseSrtp::write);
        put_some(out, alpn::KIND, &self.alpn, |protocols, out| {
            alpn::write(protocols, out)
        });
        put_some(
            out,
            record_size_limit::KIND,
            &self.record_size_limit,
            |limit, out| {
                record_size_limit::write(*limit, out);
            },
        );
        put_some(out, connection_id::KIND, &self.connection_id, |cid, out| {
            connection_id::write(cid, out);
        });
        put_some(out, cookie::KIND, &self.cookie, |cookie, out| {
            cookie::write(cookie, out)
        });
        put_some(out, key_share::KIND, &self.key_share, key_share::Answer::write);
    }

    /// Checks that all that came was offered, and has its place in this message.
    ///
    /// > An unsupported_extension alert [is] sent by endpoints receiving any handshake message containing an extension
    /// > [...] not first offered [...] If an implementation receives an extension which it recognizes and which is not
    /// > specified for the message in which it appears, it MUST abort the handshake with an "illegal_parameter" alert.
    /// > (RFC 8446, sections 6.2 and 4.2)
    pub(crate) fn check(&self, offer: &ClientExtensions, allowed: &[u16]) -> Result<(), HandshakeError> {
        for &kind in &self.kinds {
            if !offer.offers(kind) {
                return Err(HandshakeError::UnsolicitedExtension(kind));
            }
            if !allowed.contains(&kind) {
                return Err(HandshakeError::IllegalParameter(
                    "an extension for a message where it has no place",
                ));
            }
        }
        Ok(())
    }
}

/// Reads a block of extensions with its length in front and gives each to `take`.
pub(crate) fn read_block<'a>(
    reader: &mut Reader<'a>,
    take: impl FnMut(u16, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for_each(reader.vec16()?, take)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(group: u16) -> KeyShare {
        KeyShare {
            group,
            share: vec![5; 32],
        }
    }

    #[test]
    fn every_extension_reads_back_as_written() {
        let client = ClientExtensions {
            server_name: Some("turn.example.org".to_owned()),
            extended_master_secret: true,
            renegotiation_info: Some(vec![]),
            supported_groups: Some(vec![29, 23]),
            ec_point_formats: Some(vec![0]),
            signature_algorithms: Some(vec![0x0403]),
            use_srtp: Some(UseSrtp {
                profiles: vec![7, 1],
                mki: vec![],
            }),
            alpn: Some(vec![b"webrtc".to_vec(), b"c-webrtc".to_vec()]),
            record_size_limit: Some(16385),
            connection_id: Some(vec![1, 2]),
            supported_versions: Some(vec![0xFEFC, 0xFEFD]),
            cookie: Some(vec![7; 300]),
            key_share: Some(vec![share(29), share(23)]),
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
            alpn: Some(vec![b"webrtc".to_vec()]),
            record_size_limit: Some(64),
            connection_id: Some(vec![]),
            supported_version: Some(0xFEFC),
            cookie: Some(vec![7]),
            key_share: Some(key_share::Answer::Share(share(29))),
            kinds: vec![43, 23, 0xFF01, 11, 14, 16, 28, 54, 44, 51],
        };
        let mut bytes = Vec::new();
        server.write(&mut bytes);
        assert_eq!(ServerExtensions::parse(&bytes), Ok(server));
        let retry = key_share::Answer::Group(29);
        let mut bytes = Vec::new();
        retry.write(&mut bytes);
        assert_eq!(key_share::Answer::parse(&bytes), Ok(retry));
    }

    #[test]
    fn unknown_extensions_are_tolerated_from_clients_and_named_from_servers_and_repeats_are_malformed() {
        let unknown = [0xAB, 0xCD, 0, 1, 9];
        assert_eq!(ClientExtensions::parse(&unknown), Ok(ClientExtensions::default()));
        assert_eq!(ServerExtensions::parse(&unknown).unwrap().kinds, [0xABCD]);
        let twice = [0, 23, 0, 0, 0, 23, 0, 0];
        assert_eq!(ClientExtensions::parse(&twice), Err(Malformed));
        assert_eq!(ClientExtensions::parse(&twice[..7]), Err(Malformed));
    }
}
