//! Whether a core is to be asked, or would only say again what it has said.

use super::Core;
use crate::lies;

/// The core's own answer, where nobody writes it down and nothing is to be false. It is passed on where it
/// lies: most are `None`, and to move that costs more than to find it out.
macro_rules! plain {
    ($core:ident . $($call:tt)*) => {
        if $core.tape.is_none() && lies::none() {
            return $core.consumer.$($call)*;
        }
    };
}
pub(super) use plain;

impl Core {
    /// Whether there may be something to ask it for. A core that was asked for everything and told
    /// nothing since is the one that it was.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh.get()
    }

    /// Counts what may have changed it: while this is the same, so is what it says of an offer.
    pub(crate) fn turns(&self) -> u32 {
        self.turns.get()
    }

    /// It said something.
    pub(crate) fn turn(&self) {
        self.turns.set(self.turns.get() + 1);
    }

    /// What it was told last has changed nothing.
    pub(crate) fn turn_back(&self, turns: u32) {
        self.turns.set(turns);
    }

    /// Whether it may have something to say: a tape makes no difference.
    pub(crate) fn has_news(&self) -> bool {
        !self.consumer.is_quiet() || !lies::none()
    }

    /// Whether there is nothing to ask it for. With a tape it is asked all the same, and so is a liar.
    pub(crate) fn is_quiet(&self, full: bool) -> bool {
        let ready = !full && self.consumer.is_ready();
        !ready && !self.has_news() && self.tape.is_none()
    }

    /// It was asked for everything, or (`true`) it is to be asked although it was told nothing.
    pub(crate) fn refresh(&self, fresh: bool) {
        self.fresh.set(fresh);
    }
}
