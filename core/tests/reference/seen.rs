//! How much was compared.

/// How often which output was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub queued: u32,
    pub duplicates: u32,
    pub replayed: u32,
    pub void: u32,
    pub refused: u32,
    pub started: u32,
    pub letters: u32,
    pub copies: u32,
    pub cancels: u32,
    pub commits: u32,
    pub maps: u32,
    pub sessions: u32,
    pub grants: u32,
    pub restored: u32,
    pub releases: u32,
    pub drained: u32,
    pub notices: u32,
    pub stale: u32,
    pub orphans: u32,
    pub parked: u32,
    pub followed: u32,
    pub crowded: u32,
    pub passed: u32,
    pub resets: u32,
    pub expired: u32,
    pub abandons: u32,
    pub gaps: u32,
    pub behind: u32,
    pub passed_gaps: u32,
    pub keys_restored: u32,
    pub weighed: u32,
    pub followed_calls: u32,
    pub recognised: u32,
}

impl Seen {
    fn counts(&self) -> [u32; 33] {
        [
            self.queued,
            self.duplicates,
            self.replayed,
            self.void,
            self.refused,
            self.started,
            self.letters,
            self.copies,
            self.cancels,
            self.commits,
            self.maps,
            self.sessions,
            self.grants,
            self.restored,
            self.releases,
            self.drained,
            self.notices,
            self.stale,
            self.orphans,
            self.parked,
            self.followed,
            self.crowded,
            self.passed,
            self.resets,
            self.expired,
            self.abandons,
            self.gaps,
            self.behind,
            self.passed_gaps,
            self.keys_restored,
            self.weighed,
            self.followed_calls,
            self.recognised,
        ]
    }

    pub fn all_positive(&self) -> bool {
        self.counts().iter().all(|c| *c > 0)
    }

    pub fn add(&mut self, other: &Self) {
        let mine = [
            &mut self.queued,
            &mut self.duplicates,
            &mut self.replayed,
            &mut self.void,
            &mut self.refused,
            &mut self.started,
            &mut self.letters,
            &mut self.copies,
            &mut self.cancels,
            &mut self.commits,
            &mut self.maps,
            &mut self.sessions,
            &mut self.grants,
            &mut self.restored,
            &mut self.releases,
            &mut self.drained,
            &mut self.notices,
            &mut self.stale,
            &mut self.orphans,
            &mut self.parked,
            &mut self.followed,
            &mut self.crowded,
            &mut self.passed,
            &mut self.resets,
            &mut self.expired,
            &mut self.abandons,
            &mut self.gaps,
            &mut self.behind,
            &mut self.passed_gaps,
            &mut self.keys_restored,
            &mut self.weighed,
            &mut self.followed_calls,
            &mut self.recognised,
        ];
        for (mine, other) in mine.into_iter().zip(other.counts()) {
            *mine += other;
        }
    }
}
