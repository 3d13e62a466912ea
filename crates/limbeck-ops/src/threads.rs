//! One pool of threads for the whole process.

/// Starts the pool that all operations share. Call it first thing in `main`, before any thread.
///
/// candle keeps a second pool of its own whose idle threads spin, and so take time from ours; its
/// size is read from the environment once, and here set to one. Fails when a pool exists already.
#[expect(
    unsafe_code,
    reason = "candle reads its pool's size from the environment only"
)]
pub fn start_threads(threads: usize) -> Result<(), rayon::ThreadPoolBuildError> {
    // SAFETY: the caller promises that no other thread runs yet that could read the environment.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
}
