use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The generator of one example: a stream of its own under the run's seed, whatever else is attacked and in which order.
pub fn example_rng(seed: u64, example: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(example);
    rng
}
