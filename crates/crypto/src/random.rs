//! The operating system's randomness, the only kind that this crate uses.

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};

/// The operating system gave no randomness.
#[derive(Debug)]
pub(crate) struct NoRandomness;

/// Fills the buffer.
pub(crate) fn fill(buffer: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(buffer).map_err(|_| NoRandomness)
}

/// A random array, for what is not secret (salts, nonces).
pub(crate) fn array<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// The same source for libraries that want a generator which cannot fail.
///
/// Their interface has no room for an error, and the usual adapter panics. This one remembers the failure: whoever
/// lends it to a library asks [`OsRandom::finish`] before using what came out.
#[derive(Default)]
pub(crate) struct OsRandom {
    failed: bool,
}

impl OsRandom {
    /// Says whether every byte that was handed out was random.
    pub(crate) fn finish(self) -> Result<(), NoRandomness> {
        if self.failed { Err(NoRandomness) } else { Ok(()) }
    }
}

impl TryRng for OsRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.failed |= fill(buffer).is_err();
        Ok(())
    }
}

impl TryCryptoRng for OsRandom {}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn two_draws_differ_and_the_adapter_fills_the_whole_buffer() {
        assert_ne!(array::<32>().unwrap(), array::<32>().unwrap());
        let mut random = OsRandom::default();
        let mut buffer = [0; 64];
        random.try_fill_bytes(&mut buffer).unwrap();
        assert!(buffer[32..].iter().any(|byte| *byte != 0));
        assert!(random.finish().is_ok());
    }

    #[test]
    fn a_failure_is_remembered() {
        assert!(OsRandom { failed: true }.finish().is_err());
    }
}
