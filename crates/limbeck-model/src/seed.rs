//! One seed, named streams: adding one use of randomness does not shift another.

use limbeck_ops::mix64;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The generator for one purpose under one seed, such as `generator(7, "shuffle")`.
pub fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(stream_key(seed, purpose))
}

/// A number that names a purpose under a seed, for counter-based randomness.
pub fn stream_key(seed: u64, purpose: &str) -> u64 {
    purpose
        .bytes()
        .fold(mix64(seed), |key, byte| mix64(key ^ u64::from(byte)))
}
