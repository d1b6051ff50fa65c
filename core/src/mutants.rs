//! Deliberate faults, for the simulator to catch. Compiled to nothing without the feature.

/// Selects the fault that is switched on (0: none).
#[cfg(feature = "mutants")]
pub fn set(mutant: u8) {
    ACTIVE.store(mutant, core::sync::atomic::Ordering::Relaxed);
}

/// The fault that is switched on (0: none).
#[cfg(feature = "mutants")]
#[must_use]
pub fn active() -> u8 {
    ACTIVE.load(core::sync::atomic::Ordering::Relaxed)
}

#[cfg(feature = "mutants")]
static ACTIVE: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Whether this fault is switched on.
#[cfg(feature = "mutants")]
pub(crate) fn is(mutant: u8) -> bool {
    active() == mutant
}

/// Whether this fault is switched on: never, in a build without the feature.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_mutant: u8) -> bool {
    false
}

/// One more turn of a walk that has an end in a sound core. In one that is broken on purpose it may have
/// none, and that is to be seen.
///
/// # Panics
/// With the feature, after more turns than `most`.
#[cfg(feature = "mutants")]
pub(crate) fn turn(turns: &mut usize, most: usize) {
    *turns += 1;
    assert!(*turns <= most, "L6: a walk without end");
}

/// One more turn of a walk that has an end: in a build without the feature it is taken for granted.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn turn(_turns: &mut usize, _most: usize) {}
