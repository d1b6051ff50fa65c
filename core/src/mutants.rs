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
