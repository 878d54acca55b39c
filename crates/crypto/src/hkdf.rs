//! HKDF (RFC 5869): extract a key from keying material, expand it into as many as needed.

use crate::hash::{Digest, HashAlgorithm};
use crate::hmac::HmacKey;

/// HKDF-Extract (RFC 5869, section 2.2): a pseudorandom key of [`HashAlgorithm::digest_len`] bytes.
///
/// An empty `salt` means the same as one of digest-length zeros.
#[must_use]
pub fn extract(algorithm: HashAlgorithm, salt: &[u8], key: &[u8]) -> Digest {
    HmacKey::new(algorithm, salt).sign(&[key])
}

/// HKDF-Expand (RFC 5869, section 2.3): fills `out` from `prk` and the concatenated parts of `info`.
///
/// `out` takes at most 255 digests of bytes; what goes beyond stays as it was (and fails a debug assertion).
pub fn expand(algorithm: HashAlgorithm, prk: &[u8], info: &[&[u8]], out: &mut [u8]) {
    debug_assert!(
        out.len() <= 255 * algorithm.digest_len(),
        "HKDF has 255 blocks and no more"
    );
    let key = HmacKey::new(algorithm, prk);
    let mut previous: Option<Digest> = None;
    // T(i) = HMAC(PRK, T(i-1) || info || i)
    for (counter, chunk) in (1..=255_u8).zip(out.chunks_mut(algorithm.digest_len())) {
        let mut mac = key.start();
        if let Some(previous) = previous {
            mac.update(&previous);
        }
        info.iter().for_each(|part| mac.update(part));
        mac.update(&[counter]);
        let block = mac.finish();
        chunk.copy_from_slice(&block[..chunk.len()]);
        previous = Some(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::hex;

    fn check(algorithm: HashAlgorithm, [ikm, salt, info, prk, okm]: [&str; 5]) {
        let extracted = extract(algorithm, &hex(salt), &hex(ikm));
        assert_eq!(extracted[..], hex(prk));
        let (info, mut out) = (hex(info), hex(okm));
        let expected = out.clone();
        out.fill(0);
        let (first, second) = info.split_at(info.len() / 3);
        expand(algorithm, &extracted, &[first, second, &[]], &mut out);
        assert_eq!(out, expected);
    }

    fn count(from: u8, to: u8) -> String {
        (from..=to).map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 5869, appendix A.1 to A.3.
    #[test]
    fn rfc_5869_with_sha_256() {
        let sha256 = HashAlgorithm::Sha256;
        check(
            sha256,
            [
                &"0b".repeat(22),
                &count(0, 0x0c),
                &count(0xf0, 0xf9),
                "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
            ],
        );
        check(
            sha256,
            [
                &count(0, 0x4f),
                &count(0x60, 0xaf),
                &count(0xb0, 0xff),
                "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c\
                 59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71\
                 cc30c58179ec3e87c14c01d5c1f3434f1d87",
            ],
        );
        check(
            sha256,
            [
                &"0b".repeat(22),
                "",
                "",
                "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
            ],
        );
    }

    /// RFC 5869, appendix A.4 to A.7.
    #[test]
    fn rfc_5869_with_sha_1() {
        let sha1 = HashAlgorithm::Sha1;
        check(
            sha1,
            [
                &"0b".repeat(11),
                &count(0, 0x0c),
                &count(0xf0, 0xf9),
                "9b6c18c432a7bf8f0e71c8eb88f4b30baa2ba243",
                "085a01ea1b10f36933068b56efa5ad81a4f14b822f5b091568a9cdd4f155fda2c22e422478d305f3f896",
            ],
        );
        check(
            sha1,
            [
                &count(0, 0x4f),
                &count(0x60, 0xaf),
                &count(0xb0, 0xff),
                "8adae09a2a307059478d309b26c4115a224cfaf6",
                "0bd770a74d1160f7c9f12cd5912a06ebff6adcae899d92191fe4305673ba2ffe\
                 8fa3f1a4e5ad79f3f334b3b202b2173c486ea37ce3d397ed034c7f9dfeb15c5e\
                 927336d0441f4c4300e2cff0d0900b52d3b4",
            ],
        );
        check(
            sha1,
            [
                &"0b".repeat(22),
                "",
                "",
                "da8c8a73c7fa77288ec6f5e7c297786aa0d32d01",
                "0ac1af7002b3d761d1e55298da9d0506b9ae52057220a306e07b6b87e8df21d0ea00033de03984d34918",
            ],
        );
        check(
            sha1,
            [
                &"0c".repeat(22),
                "",
                "",
                "2adccada18779e7c2077ad2eb19d3f3e731385dd",
                "2c91117204d745f3500d636a62f64f0ab3bae548aa53d423b0d1f27ebba6f5e5673a081d70cce7acfc48",
            ],
        );
    }

    #[test]
    fn the_last_byte_of_255_digests_is_written() {
        let mut out = [0; 255 * 32];
        expand(HashAlgorithm::Sha256, &[1; 32], &[b"info"], &mut out);
        assert!(out[254 * 32..].iter().any(|&byte| byte != 0));
        expand(HashAlgorithm::Sha256, &[1; 32], &[b"info"], &mut []);
    }
}
