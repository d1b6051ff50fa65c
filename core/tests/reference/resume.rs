//! What a partition is opened with.

use procession_core::{
    NoticeKind, OnReset, Position, Resume, decode_digests, decode_map, decode_parked,
    decode_suspects,
};

use super::model::{Delivery, Model, Phase};

impl Model {
    pub fn resume(&mut self, p: usize, resume: &Resume<'_>) {
        let foreign = resume.recorded.is_some_and(|r| r != resume.incarnation);
        let recorded = resume.frontier.filter(|_| !foreign).map(|f| f.0);
        let beyond = recorded.is_some_and(|f| f > resume.log_end.0);
        if foreign || beyond {
            self.notice(p, NoticeKind::ResumeVoid);
        }
        let anchor = resume
            .anchor
            .filter(|a| recorded.is_some_and(|f| a.position.0 < f));
        let frontier = match recorded {
            Some(f) if !beyond || anchor.is_some() => f,
            _ => resume.log_start.0,
        };
        if frontier < resume.log_start.0 {
            self.notice(p, NoticeKind::Truncated);
        }
        let part = &mut self.parts[p];
        part.frontier = frontier.max(resume.log_start.0);
        part.floor = part.frontier;
        part.anchor = anchor;
        part.unproven = (beyond && anchor.is_some()).then_some(resume.log_end.0);
        if !(resume.map.is_empty() || foreign || beyond) {
            self.resume_map(p, frontier, resume);
        }
        if frontier < resume.log_start.0 {
            let range = (resume.log_start.0, resume.log_end.0);
            let part = &mut self.parts[p];
            if self.config.on_reset == OnReset::Stop {
                (part.frontier, part.floor) = (frontier, frontier);
                part.delivery = Delivery::Idle;
                part.stopped = Some(range);
                self.notice(p, NoticeKind::OutOfRange);
            } else {
                self.go_on(p, range, self.config.on_reset);
            }
        } else if resume.recorded.is_none() && recorded.is_some() && !beyond {
            self.dirty(p, 0);
        }
    }

    fn go_on(&mut self, p: usize, range: (u64, u64), to: OnReset) {
        let now = self.now;
        let part = &mut self.parts[p];
        let to_end = to == OnReset::Latest;
        part.frontier = if to_end {
            range.1
        } else {
            part.frontier.max(range.0)
        };
        part.floor = part.frontier;
        part.delivery = Delivery::Wanted(now);
        if to_end {
            part.anchor = None;
            part.resumed.clear();
            part.digests.clear();
            self.dirty(p, 0);
        }
    }

    pub fn reset(&mut self, p: u32, to: OnReset) -> bool {
        let p = p as usize;
        let open = self.parts.get(p).filter(|part| part.phase == Phase::Open);
        let range = open.and_then(|part| part.stopped);
        let Some(range) = range.filter(|_| to != OnReset::Stop) else {
            return false;
        };
        self.parts[p].stopped = None;
        self.go_on(p, range, to);
        self.dirty(p, 0);
        true
    }

    fn resume_map(&mut self, p: usize, frontier: u64, resume: &Resume<'_>) {
        let part = &mut self.parts[p];
        let ranges = decode_map(resume.map, Position(frontier));
        match ranges.filter(|r| r.last().is_none_or(|l| l.1 <= resume.log_end)) {
            Some(ranges) => {
                part.resumed = ranges.iter().map(|r| (r.0.0, r.1.0)).collect();
                let digests = decode_digests(resume.map, Position(frontier));
                let digests = digests.unwrap_or_default().into_iter();
                part.digests = digests.map(|d| (d.0.0, d.1)).collect();
                let keys = decode_parked(resume.map, Position(frontier));
                let keys = keys.unwrap_or_default();
                let fit = keys.iter().take(self.config.parked_keys as usize);
                part.parked = fit.map(|k| (k.key, (k.since.0, k.mode, true))).collect();
                let told = decode_suspects(resume.map, Position(frontier));
                self.suspect(p, told, resume.log_end.0);
            }
            None => {
                self.notice(p, NoticeKind::MapIgnored);
                self.suspect(p, None, resume.log_end.0);
            }
        }
    }
}
