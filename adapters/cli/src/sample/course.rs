//! How what a process uses goes up and down over a run.

use std::time::Duration;

use serde_json::{Value, json};

use super::Usage;

/// So many points at most, however long a run takes.
const POINTS_MAX: usize = 240;

/// So many of an outline, beside its end.
const OUTLINE_MAX: usize = 8;

/// The highest figures of each stretch of a run. Stretches become longer when there would be too
/// many, so that memory is bounded; the peaks stay.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    stretch: Duration,
    points: Vec<(Duration, Usage)>,
}

impl Course {
    /// With stretches of `every`, to begin with.
    #[must_use]
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            stretch: every,
            points: Vec::new(),
        }
    }

    /// Adds a sample that was taken so long after the start. Times do not fall.
    pub(crate) fn add(&mut self, at: Duration, usage: Usage) {
        if let Some((begun, highest)) = self.points.last_mut()
            && at < *begun + self.stretch
        {
            *highest = highest.max(usage);
            return;
        }
        if self.points.len() == POINTS_MAX {
            self.halve();
        }
        self.points.push((at, usage));
    }

    /// The last sample is a point of its own: it is what was left in the end.
    pub(crate) fn end(&mut self, at: Duration, usage: Usage) {
        if self.points.len() == POINTS_MAX {
            self.halve();
        }
        self.points.push((at, usage));
    }

    /// The highest of each figure.
    #[must_use]
    pub(crate) fn peak(&self) -> Usage {
        let usages = self.points.iter().map(|(_, usage)| *usage);
        usages.fold(Usage::default(), Usage::max)
    }

    /// The outline alone: few points, with the peaks and the end.
    pub(crate) fn shorten(&mut self) {
        let end = self.points.pop();
        while self.points.len() > OUTLINE_MAX {
            self.halve();
        }
        self.points.extend(end);
    }

    fn halve(&mut self) {
        self.stretch *= 2;
        let pairs = self.points.chunks(2);
        let merge = |pair: &[(Duration, Usage)]| {
            let first = pair.first().copied().unwrap_or_default();
            pair.iter()
                .fold(first, |(at, usage), next| (at, usage.max(next.1)))
        };
        self.points = pairs.map(merge).collect();
    }

    /// Seconds since the start of the run, and the figures, as lists of one length.
    #[must_use]
    pub(crate) fn json(&self) -> Value {
        let list = |of: fn(&Usage) -> u64| -> Vec<u64> {
            self.points.iter().map(|(_, usage)| of(usage)).collect()
        };
        let at = self.points.iter();
        json!({
            "at_s": at.map(|(at, _)| at.as_millis() as f64 / 1e3).collect::<Vec<_>>(),
            "tasks": list(|u| u.tasks),
            "threads": list(|u| u.threads),
            "sockets": list(|u| u.sockets),
            "rss_bytes": list(|u| u.rss_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(tasks: u64) -> Usage {
        Usage {
            tasks,
            ..Usage::default()
        }
    }

    #[test]
    fn long_courses_stay_short_and_keep_their_peak_and_their_end() {
        let every = Duration::from_millis(20);
        let mut course = Course::new(every);
        for i in 0..100_000u32 {
            let spike = if i == 77_777 { 5_000 } else { 3 };
            course.add(every * i, tasks(spike));
        }
        course.end(every * 100_000, tasks(2));
        let json = course.json();
        let at = json["at_s"].as_array().unwrap();
        assert!((100..=POINTS_MAX).contains(&at.len()), "{}", at.len());
        assert_eq!(at.last().unwrap().as_f64(), Some(2_000.0));
        let tasks = json["tasks"].as_array().unwrap();
        assert_eq!(tasks.len(), at.len());
        assert_eq!(tasks.last().unwrap().as_u64(), Some(2));
        let highest = tasks.iter().position(|t| t.as_u64() == Some(5_000));
        let when = at[highest.unwrap()].as_f64().unwrap();
        assert!((1_500.0..1_556.0).contains(&when), "{when}");
        assert_eq!(course.peak().tasks, 5_000);
        course.shorten();
        assert_eq!(course.peak().tasks, 5_000);
        assert!(course.points.len() <= OUTLINE_MAX + 1);
        assert_eq!(course.points.last().unwrap().1.tasks, 2);
        // Times rise.
        assert!(at.windows(2).all(|w| w[0].as_f64() < w[1].as_f64()));
    }

    #[test]
    fn samples_of_one_stretch_are_one_point() {
        let mut course = Course::new(Duration::from_millis(20));
        for (at, figure) in [(0, 1), (5, 9), (19, 2), (20, 4)] {
            course.add(Duration::from_millis(at), tasks(figure));
        }
        assert_eq!(course.json()["tasks"], json!([9, 4]));
    }
}
