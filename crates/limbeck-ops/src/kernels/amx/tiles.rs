//! The tile registers: permission, configuration, and the innermost loop.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

/// Lines of a tile, and 32-bit columns of its rows.
pub(super) const TILE: usize = 16;

/// Lines of a panel: two tiles side by side.
pub(super) const PANEL: usize = 2 * TILE;

/// Depth of a tile: two bf16 numbers to each 32-bit column.
pub(super) const TILE_DEPTH: usize = 32;

/// 32-bit words of a tile.
pub(super) const TILE_WORDS: usize = TILE * TILE;

/// 32-bit words of a panel for one tile's depth: three parts of two tiles each.
pub(super) const STEP_WORDS: usize = 6 * TILE_WORDS;

/// Sums of a pair of panels, `[PANEL, PANEL]`.
#[repr(align(64))]
pub(super) struct Sums(pub(super) [f32; PANEL * PANEL]);

impl Sums {
    pub(super) fn new() -> Self {
        Self([0.0; PANEL * PANEL])
    }

    /// The first `count` rows.
    pub(super) fn rows(&self, count: usize) -> &[f32] {
        &self.0[..count * PANEL]
    }
}

/// Proof that this processor has AMX and AVX-512 (F, BW), and that this process may use them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amx(());

impl Amx {
    /// The proof, if there is one.
    pub(crate) fn detect() -> Option<Self> {
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        let available = *AVAILABLE.get_or_init(|| {
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && has_tiles()
                && request_permission()
        });
        available.then_some(Self(()))
    }
}

/// AMX-TILE and AMX-BF16. What the tiles hold is the same on all processors that have them.
fn has_tiles() -> bool {
    const BF16_AND_TILE: u32 = (1 << 22) | (1 << 24);
    __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx & BF16_AND_TILE == BF16_AND_TILE
}

/// Linux enlarges a process's register state for tiles only when asked.
#[expect(unsafe_code, reason = "a system call")]
fn request_permission() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let result: isize;
    // SAFETY: a system call without pointers, whose only effect is the permission.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Tile registers set up for this thread, released when dropped.
///
/// Nothing else on the thread may use tiles meanwhile, so it must not wait for other work.
pub(super) struct Tiles(());

#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Eight tiles of 16 rows of 64 bytes.
    #[expect(unsafe_code, reason = "the instruction has no intrinsic yet")]
    pub(super) fn configure(_: Amx) -> Self {
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        configuration.row_bytes[..8].fill(64);
        configuration.rows[..8].fill(TILE as u8);
        // SAFETY: the instruction exists, and reads the 64 bytes of a valid configuration.
        unsafe {
            asm!(
                "ldtilecfg [{0}]",
                in(reg) &raw const configuration,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly),
            );
        }
        Self(())
    }

    /// The dot products of a panel's lines with another's: `sums[i, j] = a_i · b_j`.
    ///
    /// `tiles`: how many of the two tiles of `a` and of `b` hold lines; the sums of the others stay
    /// as they are. `y`: where the sums will go and how far apart its rows are; their cache lines are
    /// asked for meanwhile, a hint that reads and writes nothing.
    ///
    /// Panics unless `a` and `b` are as long as one another, in whole steps.
    #[expect(unsafe_code, reason = "the instructions have no intrinsics yet")]
    #[expect(clippy::unused_self, reason = "proof that tiles are configured")]
    pub(super) fn multiply(
        &self,
        sums: &mut Sums,
        a: &[u32],
        b: &[u32],
        tiles: (usize, usize),
        y: (*const f32, usize),
    ) {
        assert!(
            a.len() == b.len() && !a.is_empty() && a.len().is_multiple_of(STEP_WORDS),
            "panels of unequal depth"
        );
        let steps = a.len() / STEP_WORDS;
        let (a, b, sums) = (a.as_ptr(), b.as_ptr(), sums.0.as_mut_ptr());
        // SAFETY: tiles are configured; each step reads `STEP_WORDS` of both panels.
        unsafe {
            match tiles {
                (1, 1) => multiply_1x1(a, b, sums, steps, y),
                (1, _) => multiply_1x2(a, b, sums, steps, y),
                (_, 1) => multiply_2x1(a, b, sums, steps, y),
                _ => multiply_2x2(a, b, sums, steps, y),
            }
        }
    }
}

impl Drop for Tiles {
    #[expect(unsafe_code, reason = "the instruction has no intrinsic yet")]
    fn drop(&mut self) {
        // SAFETY: the instruction exists, as tiles were configured.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem),
            );
        }
    }
}

// Parts of a panel, by their distance from the step's first byte.
macro_rules! part {
    (hi) => {
        "0"
    };
    (mid) => {
        "2048"
    };
    (lo) => {
        "4096"
    };
}

macro_rules! load {
    (a, $part:tt, 1) => {
        concat!("tileloadd tmm4, [{a} + {stride}*1 + ", part!($part), "]\n")
    };
    (a, $part:tt, 2) => {
        concat!(
            "tileloadd tmm4, [{a} + {stride}*1 + ",
            part!($part),
            "]\n",
            "tileloadd tmm5, [{a} + {stride}*1 + ",
            part!($part),
            " + 1024]\n",
        )
    };
    (b, $part:tt, 1) => {
        concat!("tileloadd tmm6, [{b} + {stride}*1 + ", part!($part), "]\n")
    };
    (b, $part:tt, 2) => {
        concat!(
            "tileloadd tmm6, [{b} + {stride}*1 + ",
            part!($part),
            "]\n",
            "tileloadd tmm7, [{b} + {stride}*1 + ",
            part!($part),
            " + 1024]\n",
        )
    };
}

macro_rules! products {
    (1, 1) => {
        "tdpbf16ps tmm0, tmm4, tmm6\n"
    };
    (1, 2) => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7\n"
    };
    (2, 1) => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm2, tmm5, tmm6\n"
    };
    (2, 2) => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7\n\
         tdpbf16ps tmm2, tmm5, tmm6\ntdpbf16ps tmm3, tmm5, tmm7\n"
    };
}

macro_rules! store {
    (1, 1) => {
        "tilestored [{sums} + {stride}*2], tmm0\n"
    };
    (1, 2) => {
        concat!(
            store!(1, 1),
            "tilestored [{sums} + {stride}*2 + 64], tmm1\n"
        )
    };
    (2, 1) => {
        concat!(
            store!(1, 1),
            "tilestored [{sums} + {stride}*2 + 2048], tmm2\n"
        )
    };
    (2, 2) => {
        concat!(
            store!(1, 2),
            "tilestored [{sums} + {stride}*2 + 2048], tmm2\n",
            "tilestored [{sums} + {stride}*2 + 2112], tmm3\n",
        )
    };
}

macro_rules! multiply {
    ($name:ident, $rows:tt, $columns:tt) => {
        #[expect(unsafe_code, reason = "the instructions have no intrinsics yet")]
        /// # Safety
        /// Tiles are configured as by [`Tiles::configure`]; `a` and `b` point to `steps > 0` steps
        /// of a packed panel, `sums` to `PANEL * PANEL` floats.
        /// Of `y`, which may point anywhere, only cache lines are asked for.
        unsafe fn $name(a: *const u32, b: *const u32, sums: *mut f32, steps: usize, (y, width): (*const f32, usize)) {
            // SAFETY: reads the steps, writes the sums; only tile registers are changed.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    load!(a, lo, $rows), load!(b, hi, $columns), products!($rows, $columns),
                    load!(a, mid, $rows), products!($rows, $columns),
                    "prefetchw [{y}]", "prefetchw [{y} + 64]", "add {y}, {width}",
                    load!(b, mid, $columns), products!($rows, $columns),
                    "prefetchw [{y}]", "prefetchw [{y} + 64]", "add {y}, {width}",
                    load!(a, hi, $rows), products!($rows, $columns),
                    load!(b, lo, $columns), products!($rows, $columns),
                    "prefetchw [{y}]", "prefetchw [{y} + 64]", "add {y}, {width}",
                    load!(b, hi, $columns), products!($rows, $columns),
                    "add {a}, 6144",
                    "add {b}, 6144",
                    "dec {steps}",
                    "jnz 2b",
                    store!($rows, $columns),
                    a = inout(reg) a => _,
                    b = inout(reg) b => _,
                    steps = inout(reg) steps => _,
                    sums = in(reg) sums,
                    y = inout(reg) y => _,
                    width = in(reg) 4 * width,
                    stride = in(reg) 64usize,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

multiply!(multiply_1x1, 1, 1);
multiply!(multiply_1x2, 1, 2);
multiply!(multiply_2x1, 2, 1);
multiply!(multiply_2x2, 2, 2);
