//! What the program is told on its command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use dunlin_dtls::{
    Certificate, CertificateOptions, CipherSuite, ClientAddress, ClientAuth, Config, CookieSecret, Group,
    KeyKind, PeerIdentity, Role, Version,
};

const USAGE: &str = "usage: dtls_peer client|server ADDRESS [options]
  --version 1.2|1.3                   only this version (default: both)
  --groups x25519mlkem768,x25519,p256,p384,p521
  --suites PART,PART                  suites whose names contain these, in this order
  --srtp 7,8,1                        SRTP profiles, best first
  --cert p256|p384|p521|ed25519|rsa   the kind of certificate to make (default: p256)
  --cert-file PEM --key-file PEM      a certificate, perhaps with its chain, and its key
  --no-cert                           as a client, show none
  --client-auth required|optional|off as a server
  --fingerprint 'sha-256 AB:CD:...'   who the peer has to be (default: anybody with a certificate)
  --mtu BYTES                         largest datagram of the handshake
  --cookie                            as a server, ask for a cookie
  --legacy                            go on without the extended master secret
  --alpn a,b                          application protocols, best first
  --cid HEX                           our connection ID; - for none, with one of the peer's
  --key-update                        change the keys when connected (DTLS 1.3)
  --export LABEL                      print 32 bytes of keying material
  --keylog FILE                       append the secrets to a file for a packet analyser
  --json                              report on standard error as JSON, one object a line";

/// What the program is told.
pub(crate) struct Options {
    pub(crate) config: Config,
    pub(crate) address: SocketAddr,
    pub(crate) export: Option<String>,
    pub(crate) key_log: Option<PathBuf>,
    pub(crate) key_update: bool,
    pub(crate) json: bool,
}

type Error = Box<dyn std::error::Error>;

pub(crate) fn parse() -> Result<Options, Error> {
    let mut arguments = std::env::args().skip(1);
    let role = match arguments.next().as_deref() {
        Some("client") => Role::Client,
        Some("server") => Role::Server,
        _ => return Err(USAGE.into()),
    };
    let address = arguments
        .next()
        .ok_or(USAGE)?
        .parse()
        .map_err(|error| format!("the address: {error}"))?;
    let mut options = Options {
        config: Config::new(role, None, PeerIdentity::AnyCertificate),
        address,
        export: None,
        key_log: None,
        key_update: false,
        json: false,
    };
    let (mut kind, mut files, mut no_certificate) = (KeyKind::EcdsaP256, (None, None), false);
    while let Some(name) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value\n{USAGE}"))
        };
        match name.as_str() {
            "--no-cert" => no_certificate = true,
            "--cert" => kind = key_kind(&value()?)?,
            "--cert-file" => files.0 = Some(value()?),
            "--key-file" => files.1 = Some(value()?),
            "--key-update" => options.key_update = true,
            "--json" => options.json = true,
            "--export" => options.export = Some(value()?),
            "--keylog" => options.key_log = Some(value()?.into()),
            _ => configure(&mut options.config, &name, value)?,
        }
    }
    options.config.key_log = options.key_log.is_some();
    options.config.certificate = match files {
        _ if no_certificate => None,
        (Some(certificate), Some(key)) => Some(Certificate::from_pem(
            &std::fs::read(certificate)?,
            &std::fs::read(key)?,
        )?),
        (None, None) => {
            let mut certificate = CertificateOptions::default();
            certificate.key = kind;
            Some(Certificate::generate_with(&certificate)?)
        }
        _ => return Err("--cert-file and --key-file go together".into()),
    };
    options.config.check()?;
    Ok(options)
}

fn configure(
    config: &mut Config,
    name: &str,
    value: impl FnOnce() -> Result<String, String>,
) -> Result<(), Error> {
    match name {
        "--version" => {
            let version = match value()?.as_str() {
                "1.2" => Version::Dtls12,
                "1.3" => Version::Dtls13,
                other => return Err(format!("there is no version {other}").into()),
            };
            (config.min_version, config.max_version) = (version, version);
        }
        "--groups" | "--group" => config.groups = value()?.split(',').map(group).collect::<Result<_, _>>()?,
        "--suites" | "--suite" => config.cipher_suites = suites(&value()?),
        "--srtp" => config.srtp_profiles = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
        "--client-auth" => {
            config.client_auth = match value()?.as_str() {
                "required" => ClientAuth::Required,
                "optional" => ClientAuth::Optional,
                "off" => ClientAuth::Off,
                other => return Err(format!("--client-auth {other}?").into()),
            }
        }
        "--fingerprint" => config.peer = PeerIdentity::Fingerprints(vec![value()?.parse()?]),
        "--mtu" => config.max_datagram = value()?.parse()?,
        "--cookie" => {
            config.client_address = ClientAddress::Cookie {
                secret: CookieSecret(dunlin_crypto::random::seed()),
                address: Vec::new(),
            }
        }
        "--legacy" => config.require_extended_master_secret = false,
        "--alpn" => config.alpn = value()?.split(',').map(|name| name.as_bytes().to_vec()).collect(),
        "--cid" => config.connection_id = Some(bytes_of_hex(&value()?)?),
        _ => return Err(format!("{name}?\n{USAGE}").into()),
    }
    Ok(())
}

fn suites(parts: &str) -> Vec<CipherSuite> {
    let mut suites = Vec::new();
    for part in parts.split(',') {
        let named = CipherSuite::ALL
            .into_iter()
            .filter(|suite| suite.name().contains(part));
        suites.extend(named.filter(|suite| !suites.contains(suite)).collect::<Vec<_>>());
    }
    suites
}

fn group(name: &str) -> Result<Group, String> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "x25519mlkem768" => Group::X25519MlKem768,
        "x25519" => Group::X25519,
        "p256" => Group::P256,
        "p384" => Group::P384,
        "p521" => Group::P521,
        _ => return Err(format!("there is no group {name}")),
    })
}

fn key_kind(name: &str) -> Result<KeyKind, String> {
    Ok(match name {
        "p256" => KeyKind::EcdsaP256,
        "p384" => KeyKind::EcdsaP384,
        "p521" => KeyKind::EcdsaP521,
        "ed25519" => KeyKind::Ed25519,
        "rsa" => KeyKind::Rsa { bits: 2048 },
        _ => return Err(format!("there is no kind of certificate {name}")),
    })
}

fn bytes_of_hex(text: &str) -> Result<Vec<u8>, String> {
    if text == "-" {
        return Ok(Vec::new());
    }
    let pairs = text.as_bytes().chunks(2).map(std::str::from_utf8);
    let byte = |pair: Result<&str, _>| pair.ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes = pairs.map(byte).collect::<Option<Vec<u8>>>();
    bytes.ok_or_else(|| format!("{text} is not hexadecimal"))
}
