//! What is done to every broker.

use crate::ground::Which;
use crate::scribe::{Expect, Scribe};

/// A log that is written, read, recognised, committed, trimmed, thinned out and made anew.
pub(crate) async fn run(scribe: &mut Scribe) {
    scribe.publish(6).await;
    scribe.join().await;
    scribe.session_at_frontier().await;
    scribe.deliver().await;
    scribe.commit(3).await;
    // What comes while a session runs, and a later commit.
    scribe.publish(2).await;
    scribe.deliver().await;
    scribe.commit(4).await;

    // A session recognises its log by the message before.
    scribe.session(5, Expect::Same(5)).await;
    scribe.deliver().await;
    // Another message there: as if the log had been rewritten.
    scribe.session(5, Expect::Other(5)).await;
    scribe.leave(5).await;

    // The next owner goes on where the last commit was.
    scribe.join().await;
    scribe.session_at_anchor().await;
    scribe.deliver().await;

    if scribe.which() == Which::Kafka {
        scribe.transaction().await;
        scribe.publish(1).await;
        scribe.deliver().await;
        scribe.transaction().await;
        scribe.deliver().await;
    }
    if scribe.which() == Which::Nats {
        // A hole; and the last message that is known is gone.
        scribe.delete(6).await;
        scribe.session(5, Expect::Same(5)).await;
        scribe.deliver().await;
        scribe.session(6, Expect::Same(6)).await;
        scribe.deliver().await;
    }
    scribe.commit(7).await;
    scribe.leave(7).await;

    if matches!(scribe.which(), Which::Nats | Which::Kafka) {
        // The partition was taken from its owner, who does not know: what it commits is refused, and it
        // hears that it has lost it. The next one goes on from the last commit that was stored.
        scribe.join().await;
        scribe.session_at_anchor().await;
        scribe.take_over();
        scribe.commit(8).await;
        scribe.abandon();
        scribe.join().await;
        scribe.leave(7).await;
    }

    if matches!(scribe.which(), Which::Nats | Which::Kafka) {
        // An older copy of the log is restored: what came after it is lost, and its positions are used
        // again. The record knows more than the log holds.
        let before = scribe.count();
        scribe.keep_copy();
        scribe.publish(3).await;
        scribe.join().await;
        scribe.session_at_anchor().await;
        scribe.deliver().await;
        scribe.leave(before + 3).await;
        scribe.lose_tail(3).await;
        scribe.publish(2).await;
        scribe.join().await;
        scribe.session_at_anchor().await;
        scribe.session_from(before + 1).await;
        scribe.deliver().await;
        scribe.leave(7).await;
    }

    if matches!(scribe.which(), Which::Nats | Which::Kafka) {
        // Retention, up to what is committed and then beyond it.
        scribe.retain(7).await;
        scribe.join().await;
        scribe.session_at_anchor().await;
        scribe.deliver().await;
        scribe.leave(7).await;
        scribe.publish(3).await;
        scribe.retain(9).await;
        scribe.join().await;
        scribe.leave(9).await;
        // Deleted and made anew: another log, from its first position on.
        scribe.recreate().await;
        scribe.publish(2).await;
        scribe.join().await;
        scribe.session_at_frontier().await;
        scribe.deliver().await;
        scribe.commit(1).await;
    }
}
