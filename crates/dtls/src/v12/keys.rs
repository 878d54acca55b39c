//! The key schedule of DTLS 1.2: master secret (RFC 5246, section 8.1; RFC 7627, section 4), record keys (RFC
//! 5246, section 6.3), Finished (7.4.9), exporter (RFC 5705, section 4).

use dunlin_crypto::BackendError;
use dunlin_crypto::hash::digest;
use dunlin_crypto::hmac::tls12_prf;

use crate::config::Role;
use crate::message::finished::VERIFY_DATA_LEN;
use crate::record::cipher12::{self, iv_len};
use crate::record::{Opener, Records, Sealer};
use crate::suite::CipherSuite;
use crate::v12::{Negotiated, Secrets};

/// The only protected epoch that there is without renegotiation.
const EPOCH: u64 = 1;

/// 48 bytes that everything else is derived from.
pub(crate) struct MasterSecret([u8; 48]);

impl MasterSecret {
    /// `transcript`: all messages up to and including the ClientKeyExchange.
    pub(crate) fn derive(negotiated: &Negotiated, premaster: &[u8], transcript: &[u8]) -> Self {
        let hash = negotiated.suite.hash();
        let mut secret = [0; 48];
        if negotiated.extended_master_secret {
            // master_secret = PRF(pre_master_secret, "extended master secret", session_hash)[0..47]
            let session_hash = digest(hash, transcript);
            tls12_prf(
                hash,
                premaster,
                b"extended master secret",
                &[&session_hash],
                &mut secret,
            );
        } else {
            let seed: [&[u8]; 2] = [&negotiated.client_random, &negotiated.server_random];
            tls12_prf(hash, premaster, b"master secret", &seed, &mut secret);
        }
        Self(secret)
    }

    /// Gives both directions of epoch 1 their keys.
    pub(crate) fn install(
        &self,
        role: Role,
        negotiated: &Negotiated,
        records: &mut Records,
    ) -> Result<(), BackendError> {
        let aead = negotiated.suite.aead();
        let (key_len, iv_len) = (aead.key_len(), iv_len(aead));
        let mut block = [0; 2 * (32 + 12)];
        let block = &mut block[..2 * (key_len + iv_len)];
        // key_block = PRF(master_secret, "key expansion", server_random + client_random)
        let seed: [&[u8]; 2] = [&negotiated.server_random, &negotiated.client_random];
        tls12_prf(negotiated.suite.hash(), &self.0, b"key expansion", &seed, block);
        // client_write_key, server_write_key, client_write_IV, server_write_IV; an AEAD has no MAC keys
        let (keys, ivs) = block.split_at(2 * key_len);
        let (client_key, server_key) = keys.split_at(key_len);
        let (client_iv, server_iv) = ivs.split_at(iv_len);
        let (ours, theirs) = match role {
            Role::Client => ((client_key, client_iv), (server_key, server_iv)),
            Role::Server => ((server_key, server_iv), (client_key, client_iv)),
        };
        records.add_sealer(EPOCH, Sealer::V12(cipher12::Sealer::new(aead, ours.0, ours.1)?));
        records.add_opener(
            EPOCH,
            Opener::V12(cipher12::Opener::new(aead, theirs.0, theirs.1)?),
        );
        Ok(())
    }

    /// > verify_data = PRF(master_secret, finished_label, Hash(handshake_messages)) [0..verify_data_length-1]
    pub(crate) fn verify_data(
        &self,
        suite: CipherSuite,
        sender: Role,
        transcript: &[u8],
    ) -> [u8; VERIFY_DATA_LEN] {
        let label: &[u8] = match sender {
            Role::Client => b"client finished",
            Role::Server => b"server finished",
        };
        let mut out = [0; VERIFY_DATA_LEN];
        tls12_prf(
            suite.hash(),
            &self.0,
            label,
            &[&digest(suite.hash(), transcript)],
            &mut out,
        );
        out
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Secrets {
    /// The exporter. `context` of at most 65,535 bytes.
    pub(crate) fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) {
        let (hash, secret) = (self.suite.hash(), &self.master_secret.0);
        let (client, server) = (&self.client_random, &self.server_random);
        match context {
            None => tls12_prf(hash, secret, label, &[client, server], out),
            Some(context) => {
                let len = (context.len() as u16).to_be_bytes();
                tls12_prf(hash, secret, label, &[client, server, &len, context], out);
            }
        }
    }
}

impl std::fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterSecret")
    }
}
