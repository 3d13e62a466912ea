//! Ctrl-C: finish the step, save the state, leave.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// What ends a command that was asked to stop and has kept its work; exit code 130.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) String);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stopped {}

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C asks politely; a second one ends the process at once.
pub(crate) fn listen() {
    let handler = || {
        if ASKED.swap(true, Ordering::SeqCst) {
            #[expect(clippy::exit, reason = "the user asked twice")]
            std::process::exit(130);
        }
    };
    // Fails only when set twice (several seeds in one command): the first handler stays.
    let _ = ctrlc::set_handler(handler);
}

/// Whether Ctrl-C was pressed.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
